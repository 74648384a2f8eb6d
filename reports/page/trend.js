// Tabs, filters, detail and comparison of the trend page. The page is whole without it. What is shown is in the
// address, so that a view can be sent. Text of reports is only ever set as textContent.
(() => {
  'use strict';
  const $ = (id) => document.getElementById(id);
  const data = JSON.parse($('data').textContent);
  const text = (at) => (at === null ? '' : data.strings[at]);

  // One number stands for as many as there are; a list holds differences.
  const unpack = (packed, count, step) => {
    if (!Array.isArray(packed)) return Array(count).fill(packed * step);
    let sum = 0;
    return packed.map((d) => (d === null ? null : (sum += d) * step));
  };
  const runs = data.runs.map((r) => ({
    time: r[0] * 1000, commit: r[1], dirty: r[2], env: r[3], machine: text(r[4]), driver: text(r[5]), kind: text(r[6]),
    verdict: text(r[7]), path: text(r[8]), sha: r[9], command: text(r[10]), subject: text(r[11]) }));
  const cells = data.cells.map((c) => ({ id: c[0], kind: c[1], name: c[2], axes: c[3], command: text(c[4]) }));
  const series = data.series.map((s, index) => s && ({ index, cell: cells[s.c], env: s.k, metric: s.m, unit: s.u || '',
    up: s.up, noise: s.e || 0, limit: s.f || 0, changes: s.x || [], packed: s }));
  const told = series.filter(Boolean);
  const open = (s) => {
    if (s.runs) return s;
    const p = s.packed, n = p.n;
    s.runs = unpack(data.lists[p.r], n, 1);
    s.values = unpack(p.v, n, p.s);
    s.low = p.lo === undefined ? null : unpack(p.lo, n, p.s);
    s.high = p.hi === undefined ? null : unpack(p.hi, n, p.s);
    s.mhz = p.mhz === undefined ? null : unpack(p.mhz, n, 1);
    s.samples = p.q === undefined ? null : unpack(p.q, n, 1);
    return s;
  };

  const digits = (v) => String(Number(v.toPrecision(4)));
  const printed = (v, unit) => {
    const size = Math.abs(v);
    if (unit === 's') {
      if (size >= 1 || size === 0) return digits(v) + ' s';
      return size >= 1e-3 ? digits(v * 1e3) + ' ms' : digits(v * 1e6) + ' us';
    }
    return digits(v);
  };
  const short = (run) => run.commit.slice(0, 9) + (run.dirty ? '+' : '');
  const when = (ms) => new Date(ms).toISOString().slice(0, 16).replace('T', ' ') + ' UTC';
  const percent = (f) => (Number.isFinite(f) ? (100 * f).toFixed(1) + ' %' : 'from nothing');
  const worsening = (s, a, b) => (a === b ? 0 : ((s.up ? a - b : b - a) / Math.abs(a)));
  const make = (tag, content, name) => {
    const element = document.createElement(tag);
    if (content !== undefined) element.textContent = content;
    if (name) element.className = name;
    return element;
  };

  // The address.
  const filters = ['q', 'kind', 'metric', 'model', 'dtype', 'n', 'context', 'gpu'];
  const nameOf = (s) => [s.cell.id, data.environments[s.env].name, s.metric].join(' | ');
  const state = { tab: 'series', a: '', b: '', series: '' };
  const read = () => {
    const hash = location.hash.slice(1);
    const plain = /^[a-z]+$/.test(hash);
    const wanted = new URLSearchParams(plain ? 'tab=' + hash : hash);
    state.tab = document.querySelector(`[data-tab="${CSS.escape(wanted.get('tab') || '')}"]`) ? wanted.get('tab') : 'series';
    for (const name of filters) {
      const field = $('f-' + name), value = wanted.get(name) || '';
      field.value = value;
      if (field.value !== value) field.value = '';
    }
    for (const name of ['a', 'b', 'series']) state[name] = wanted.get(name) || '';
  };
  const write = () => {
    const wanted = new URLSearchParams();
    if (state.tab !== 'series') wanted.set('tab', state.tab);
    for (const name of filters) if ($('f-' + name).value) wanted.set(name, $('f-' + name).value);
    for (const name of ['a', 'b', 'series']) if (state[name]) wanted.set(name, state[name]);
    const hash = wanted.toString();
    history.replaceState(null, '', hash ? '#' + hash : location.pathname + location.search);
  };

  // Filters.
  const facts = (s) => ({ kind: s.cell.kind, metric: s.metric, model: s.cell.axes.model, dtype: s.cell.axes.dtype,
    n: s.cell.axes.n, context: s.cell.axes.context, gpu: data.environments[s.env].name });
  const cards = [...document.querySelectorAll('#grid .card')].map((element) => {
    const s = series[Number(element.dataset.s)];
    return { element, s, facts: facts(s), words: nameOf(s).toLowerCase() };
  });
  const choices = () => {
    for (const name of filters.slice(1)) {
      const found = new Set(cards.map((c) => c.facts[name]).filter((v) => v !== undefined && v !== ''));
      const numeric = [...found].every((v) => typeof v === 'number');
      for (const value of [...found].sort(numeric ? (a, b) => a - b : undefined)) {
        const option = make('option', value);
        option.value = value;
        $('f-' + name).append(option);
      }
      $('f-' + name).parentElement.hidden = found.size < 2;
    }
  };
  const chosen = () => {
    const asked = filters.slice(1).filter((name) => $('f-' + name).value).map((name) => [name, $('f-' + name).value]);
    const words = $('f-q').value.toLowerCase().split(/\s+/).filter(Boolean);
    return (of, all) => asked.every(([name, value]) => String(of[name]) === value) && words.every((w) => all.includes(w));
  };
  const filter = () => {
    const keep = chosen();
    let left = 0;
    for (const card of cards) {
      const shown = keep(card.facts, card.words);
      left += shown;
      if (card.element.hidden === shown) card.element.hidden = !shown;
    }
    $('count').textContent = `${left} of ${cards.length}`;
    $('nothing').hidden = left > 0;
    if (state.tab === 'compare') compare();
  };

  const show = () => {
    for (const link of document.querySelectorAll('[data-tab]'))
      if (link.dataset.tab === state.tab) link.setAttribute('aria-current', 'page');
      else link.removeAttribute('aria-current');
    for (const view of document.querySelectorAll('[data-view]')) view.hidden = view.id !== state.tab;
    if (state.tab === 'compare') compare();
  };

  // Comparison: the last night of each commit, by how many spreads of their noise they differ.
  const commits = new Map();
  for (const run of runs) if (run.commit) commits.set(run.commit, run);
  const pick = () => {
    const order = [...commits.values()].sort((a, b) => b.time - a.time);
    for (const id of ['c-a', 'c-b'])
      for (const run of order) {
        const option = make('option', `${when(run.time).slice(0, 10)} ${run.commit.slice(0, 9)} ${run.subject}`.slice(0, 90));
        option.value = run.commit;
        $(id).append(option);
      }
  };
  const compare = () => {
    const order = [...commits.values()].sort((a, b) => b.time - a.time);
    const from = commits.has(state.a) ? state.a : (order[1] || order[0]).commit;
    const to = commits.has(state.b) ? state.b : order[0].commit;
    $('c-a').value = from;
    $('c-b').value = to;
    const keep = chosen(), rows = [];
    for (const s of told) {
      if (s.metric === 'duration' || !keep(facts(s), nameOf(s).toLowerCase())) continue;
      open(s);
      let a = null, b = null;
      s.runs.forEach((r, i) => {
        if (runs[r].commit === from) a = s.values[i];
        if (runs[r].commit === to) b = s.values[i];
      });
      if (a === null || b === null) continue;
      const spread = s.noise * Math.SQRT2, apart = a === b ? 0 : spread > 0 ? Math.abs(b - a) / spread : Infinity;
      rows.push({ s, a, b, worse: worsening(s, a, b), apart });
    }
    rows.sort((x, y) => (y.apart === x.apart ? Math.abs(y.worse) - Math.abs(x.worse) : y.apart - x.apart));
    const body = $('c-table').tBodies[0];
    body.textContent = '';
    for (const row of rows.slice(0, 400)) {
      const line = make('tr'), sure = row.apart >= 3 && row.worse !== 0;
      const head = make('th', row.s.cell.id + ' ');
      head.scope = 'row';
      head.append(make('small', `${row.s.metric}, ${data.environments[row.s.env].name}`));
      const sign = sure ? (row.worse > 0 ? '▲ ' : '▼ ') : '';
      line.append(head, make('td', printed(row.a, row.s.unit)), make('td', printed(row.b, row.s.unit)),
        make('td', sign + percent(Math.abs(row.worse)) + (row.worse === 0 ? '' : row.worse > 0 ? ' worse' : ' better'),
          sure ? (row.worse > 0 ? 'worse' : 'better') : ''),
        make('td', row.apart === 0 ? '0' : Number.isFinite(row.apart) ? row.apart.toFixed(1) : 'no noise seen'));
      body.append(line);
    }
    $('c-table').hidden = rows.length === 0;
    $('c-count').textContent = rows.length ? `${rows.length} series have both, the surest first` : 'no series has both';
  };

  // Detail.
  const dialog = $('detail');
  let chart = null, shown = null, at = 0;
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const night = (i) => {
    const s = shown, run = runs[s.runs[i]];
    at = i;
    const list = make('dl');
    const put = (name, value) => { if (value) list.append(make('dt', name), make('dd', value)); };
    let value = printed(s.values[i], s.unit);
    if (s.low && s.low[i] !== null)
      value += `, median of ${s.samples ? s.samples[i] : '?'}, 95 % from ${printed(s.values[i] - s.low[i], s.unit)} to ${printed(s.values[i] + s.high[i], s.unit)}`;
    put('night', `${when(run.time)} (${i + 1} of ${s.runs.length})`);
    put(s.metric, value);
    put('commit', run.commit + (run.dirty ? ', with changes that it does not hold' : ''));
    put('subject', run.subject);
    put('machine', [run.machine, data.environments[run.env].name, run.driver].filter(Boolean).join(', '));
    if (s.mhz && s.mhz[i] !== null) put('SM clock', `${s.mhz[i]} MHz`);
    put('verdict', run.verdict);
    put('report', `${run.path} (SHA-256 ${run.sha})`);
    put('again', s.cell.command);
    put('run', run.command);
    $('d-night').replaceChildren(list);
    if (chart) chart.setSelection(rowOf[i]);
  };
  let rowOf = [];
  const draw = () => {
    const s = open(shown), rows = [], times = s.runs.map((r) => runs[r].time);
    const steps = times.slice(1).map((t, i) => t - times[i]).sort((a, b) => a - b);
    const pause = 2.6 * Math.max(steps[steps.length >> 1] || 0, 86400000);
    rowOf = [];
    s.values.forEach((v, i) => {
      // A night that is missing breaks the line.
      if (i > 0 && times[i] - times[i - 1] > pause) rows.push([new Date((times[i] + times[i - 1]) / 2), null]);
      rowOf.push(rows.length);
      rows.push([new Date(times[i]), [v - (s.low && s.low[i] !== null ? s.low[i] : 0), v,
        v + (s.high && s.high[i] !== null ? s.high[i] : 0)]]);
    });
    let low = Math.min(...s.values), high = Math.max(...s.values);
    if ($('d-limit').checked && s.limit) low = Math.min(low, s.limit);
    const room = Math.max((high - low) * 0.12, Math.abs(high) * 0.002, 1e-12);
    const under = (canvas, area, graph) => {
      const starts = [0, ...s.changes.map((c) => c.a), s.values.length];
      for (let i = 0; i + 1 < starts.length; ++i) {
        const part = s.values.slice(starts[i], starts[i + 1]);
        const mean = s.changes.length ? (i ? s.changes[i - 1].e : s.changes[0].b) : part.reduce((a, b) => a + b, 0) / part.length;
        const x0 = graph.toDomXCoord(times[starts[i]]), x1 = graph.toDomXCoord(times[starts[i + 1] - 1]);
        const y0 = graph.toDomYCoord(mean + 2 * s.noise), y1 = graph.toDomYCoord(mean - 2 * s.noise);
        canvas.fillStyle = colour('--band');
        canvas.fillRect(x0, y0, Math.max(x1 - x0, 2), Math.max(y1 - y0, 1));
      }
      for (const change of s.changes) {
        const x = graph.toDomXCoord((times[change.a - 1] + times[change.a]) / 2);
        canvas.fillStyle = colour(worsening(s, change.b, change.e) > 0 ? '--worse' : '--better');
        canvas.fillRect(x - 1, area.y, 2, area.h);
      }
      if (s.limit) {
        canvas.fillStyle = colour('--limit');
        const y = graph.toDomYCoord(s.limit);
        for (let x = area.x; y <= area.y + area.h && x < area.x + area.w; x += 9) canvas.fillRect(x, y - 1, 5, 2);
      }
    };
    if (chart) chart.destroy();
    chart = null;
    if (rows.length === 0) return;
    chart = new Dygraph($('d-chart'), rows, {
      labels: ['night', s.metric], customBars: true, colors: [colour('--line')], strokeWidth: 1.6, drawPoints: times.length < 150,
      pointSize: 2.4, highlightCircleSize: 5, gridLineColor: colour('--edge'), axisLineColor: colour('--edge'),
      valueRange: [low - room, high + room], connectSeparatedPoints: false, legend: 'never', xRangePad: 12,
      underlayCallback: under, labelsUTC: true, animatedZooms: false, rangeSelectorPlotStrokeColor: colour('--line'),
      rangeSelectorPlotFillColor: colour('--line'), rangeSelectorPlotFillGradientColor: colour('--card'),
      // With a range selector dragging would move the view; it is to zoom.
      interactionModel: Dygraph.defaultInteractionModel, showRangeSelector: times.length > 20, rangeSelectorHeight: 28,
      axes: { y: { axisLabelFormatter: (v) => printed(v, s.unit), axisLabelWidth: 76 } },
      pointClickCallback: (event, point) => { const i = rowOf.indexOf(point.idx); if (i >= 0) night(i); },
      clickCallback: (event, x, points) => { const i = points.length ? rowOf.indexOf(points[0].idx) : -1; if (i >= 0) night(i); } });
    for (const handle of $('d-chart').querySelectorAll('img')) handle.alt = '';
    window.assayChart = chart;
  };
  // What keeps two environments from being compared.
  const differences = (a, b) => {
    const fields = (env) => new Map(data.environments[env].fields.map((f) => [text(f[0]), text(f[1])]));
    const of_a = fields(a), of_b = fields(b);
    return [...new Set([...of_a.keys(), ...of_b.keys()])].filter((name) => of_a.get(name) !== of_b.get(name))
      .map((name) => `${name}: ${of_a.get(name) || 'nothing'} here, ${of_b.get(name) || 'nothing'} there`).join('; ');
  };
  const detail = (s) => {
    shown = open(s);
    state.series = nameOf(s);
    $('d-title').textContent = s.cell.id;
    $('d-chips').replaceChildren(make('i', data.environments[s.env].name));
    const others = told.filter((o) => o.cell === s.cell && o.env === s.env);
    $('d-metric').replaceChildren(...others.map((o) => {
      const option = make('option', o.metric);
      option.value = o.index;
      return option;
    }));
    $('d-metric').value = s.index;
    $('d-limit').parentElement.hidden = !s.limit;
    if (!dialog.open) dialog.showModal();
    draw();
    const list = make('ul');
    for (const change of s.changes) {
      const worse = worsening(s, change.b, change.e), item = make('li');
      item.append(make('b', `${worse > 0 ? '▲' : '▼'} ${percent(Math.abs(worse))} ${worse > 0 ? 'worse' : 'better'} `,
        worse > 0 ? 'worse' : 'better'),
        `${when(runs[s.runs[change.a]].time).slice(0, 10)}: ${printed(change.b, s.unit)} to ${printed(change.e, s.unit)}, p ${change.p.toExponential(0)}, ${change.t}`);
      if (change.g) item.append(make('code', change.g, 'command'));
      list.append(item);
    }
    for (const [reason, count] of s.packed.o || [])
      list.append(make('li', `${count} ${count === 1 ? 'night has' : 'nights have'} no number: ${reason}`));
    $('d-changes').replaceChildren(...(list.children.length ? [list] : []));
    const elsewhere = told.filter((o) => o.cell === s.cell && o.metric === s.metric && o.env !== s.env);
    $('d-others').replaceChildren(...elsewhere.map((o) => {
      const item = make('p', undefined, 'muted'), button = make('button', data.environments[o.env].name);
      button.type = 'button';
      button.addEventListener('click', () => detail(o));
      item.append('Not comparable, hence a series of its own: ', button, ' ' + differences(s.env, o.env));
      return item;
    }));
    if (s.runs.length) night(s.runs.length - 1);
    write();
  };
  const restore = () => {
    const wanted = state.series && told.find((s) => nameOf(s) === state.series);
    if (wanted) detail(wanted);
    else if (dialog.open) dialog.close();
  };
  dialog.addEventListener('close', () => {
    state.series = '';
    write();
  });
  dialog.addEventListener('keydown', (event) => {
    const step = event.target.tagName === 'SELECT' ? 0 : { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    night(Math.min(Math.max(at + step, 0), shown.runs.length - 1));
  });
  $('d-close').addEventListener('click', () => dialog.close());
  $('d-metric').addEventListener('change', () => detail(series[Number($('d-metric').value)]));
  $('d-limit').addEventListener('change', draw);
  $('d-reset').addEventListener('click', () => chart && chart.resetZoom());
  $('d-prev').addEventListener('click', () => night(Math.max(at - 1, 0)));
  $('d-next').addEventListener('click', () => night(Math.min(at + 1, shown.runs.length - 1)));

  document.addEventListener('click', (event) => {
    const card = event.target.closest('.card'), tab = event.target.closest('[data-tab]'),
      command = event.target.closest('.command');
    if (card) detail(series[Number(card.dataset.s)]);
    if (tab) {
      event.preventDefault();
      state.tab = tab.dataset.tab;
      show();
      write();
    }
    if (command && navigator.clipboard && !String(getSelection())) navigator.clipboard.writeText(command.textContent).catch(() => {});
  });
  document.addEventListener('keydown', (event) => {
    if (event.key !== '/' || dialog.open || /INPUT|SELECT/.test(event.target.tagName)) return;
    event.preventDefault();
    state.tab = 'series';
    show();
    $('f-q').focus();
  });
  for (const name of filters)
    for (const event of ['input', 'change'])
      $('f-' + name).addEventListener(event, () => {
        filter();
        write();
      });
  $('filters').addEventListener('submit', (event) => event.preventDefault());
  $('clear').addEventListener('click', () => {
    for (const name of filters) $('f-' + name).value = '';
    filter();
    write();
  });
  for (const id of ['a', 'b'])
    $('c-' + id).addEventListener('change', () => {
      state.a = $('c-a').value;
      state.b = $('c-b').value;
      compare();
      write();
    });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => dialog.open && draw());
  const all = () => {
    read();
    filter();
    show();
    restore();
  };
  addEventListener('hashchange', all);
  choices();
  pick();
  all();
})();
