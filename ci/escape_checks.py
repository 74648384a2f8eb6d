#!/usr/bin/env python3
"""Every place where the command prints text that somebody else wrote, with strings that a terminal would obey.

Usage: ci/escape_checks.py ASSAY FIXTURES. Nothing may come out raw, and each place must print its text at all.
"""
import copy, json, os, re, shutil, struct, subprocess, sys, tempfile, unicodedata

ASSAY, FIXTURES = os.path.realpath(sys.argv[1]), os.path.realpath(sys.argv[2])
NASTY = {
    'escape': b'\x1b[2J\x1b]0;owned\x07', 'newline': b'\n', 'return': b'\r', 'kill line': b'\x15', 'delete': b'\x7f',
    'tab': b'\t', 'no UTF-8': b'\xff\xfe', 'C1': '\u009b31m'.encode(), 'right to left': '\u202e'.encode(),
    'isolate': '\u2066'.encode(), 'line separator': '\u2028'.encode(), 'zero width': '\u200b\ufeff'.encode(),
    'quotes': b'\'"`$(echo x)\\', 'long': b'A' * 4200,
}
LONGEST = 3000  # of a line: no message is longer, and few tables are as wide


def text_of(nasty):
    """As JSON and environment hold it: bytes that are no UTF-8 cannot be there."""
    return nasty.decode('utf-8', 'replace')


def safetensors(name, dtype='F32', size=1):
    header = json.dumps({name: {'dtype': dtype, 'shape': [size], 'data_offsets': [0, 4]}}).encode()
    return struct.pack('<Q', len(header)) + header + b'\0' * 4


def gguf(architecture=b'llama', key=b'x.y', kind=4):
    def string(s): return struct.pack('<Q', len(s)) + s
    head = b'GGUF' + struct.pack('<IQQ', 3, 1, 2)
    head += string(b'general.architecture') + struct.pack('<I', 8) + string(architecture)
    head += string(key) + struct.pack('<II', kind, 7)
    head += string(b'token_embd.weight') + struct.pack('<IQQIQ', 2, 4, 4, 0, 0)
    return head + b'\0' * (-len(head) % 32) + b'\0' * 64


class Places:
    def __init__(self, folder):
        self.folder = folder
        self.model = os.path.join(FIXTURES, 'goldens/hf-tiny/llama3')
        run('run', 'tiny-llama', '--suite', 'Decode', '--dtype', 'fp32', '--device', 'host', '--report', self.at('r.json'))
        self.report = json.load(open(self.at('r.json')))
        run('plan', 'tiny-llama', '--suite', 'Decode', '--dtype', 'fp32', '--device', 'host', '--out', self.at('plan.json'))

    def at(self, name): return os.path.join(self.folder, name)

    def put(self, name, content):
        path = self.at(name) if isinstance(name, str) else os.path.join(self.folder.encode(), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'wb') as file:
            file.write(content if isinstance(content, bytes) else json.dumps(content).encode())
        return path

    def changed(self, change):
        report = copy.deepcopy(self.report)
        change(report)
        return self.put('changed.json', report)

    def checkpoint(self, name=b'model', config=None, weights=None, index=None):
        folder = os.path.join(self.folder.encode(), name)
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        with open(os.path.join(self.model, 'config.json')) as file: known = json.load(file)
        if config: config(known)
        self.put(name + b'/config.json', known)
        with open(os.path.join(self.model, 'model.safetensors'), 'rb') as file:
            self.put(name + b'/model.safetensors', weights if weights is not None else file.read())
        if index is not None: self.put(name + b'/model.safetensors.index.json', index)
        return folder


# Each: name, and a function of (places, bytes, text) that gives the arguments of the command.
def table():
    def case(r, **what): r['cases'][0].update(what)
    fast = ['--suite', 'Decode', '--dtype', 'fp32', '--device', 'host']
    validate = lambda change: lambda p, b, t: ['validate', p.changed(lambda r: change(r, t))]
    rows = [
        ('report: axis', validate(lambda r, t: (r['cases'][0]['axes'].update(model=t), case(r, status='fail')))),
        ('report: axis key', validate(lambda r, t: r['cases'][0]['axes'].update({t: 1.5}))),
        ('report: suite', validate(lambda r, t: case(r, suite=t, status='fail'))),
        ('report: reason', validate(lambda r, t: r.update(skips=[{'reason': t, 'ids': [t]}]))),
        ('report: metric', validate(lambda r, t: r['cases'][0]['judgements'].append(
            dict(r['cases'][0]['judgements'][0], metric=t, value=9e9)))),
        ('report: status', validate(lambda r, t: case(r, status=t))),
        ('report: verdict of a judgement', validate(lambda r, t: r['cases'][0]['judgements'][0].update(verdict=t))),
        ('report: problem', validate(lambda r, t: (r['integrity'].update(complete=False, problems=[t]),
                                                   r.update(verdict='INCOMPLETE'), r['run'].update(finished=None)))),
        ('report: unknown key', validate(lambda r, t: r.update({t: 1}))),
        ('report: version', validate(lambda r, t: r['schema'].update(version=t))),
        ('report: version of another type', validate(lambda r, t: r['schema'].update(version=[t]))),
        ('report: doubled key', lambda p, b, t: ['validate', p.put('d.json', '{{{0}: 1, {0}: 2}}'.format(json.dumps(t)).encode())]),
        ('report: path', lambda p, b, t: ['validate', p.folder.encode() + b'/absent-' + b]),
        ('report: comparable path', lambda p, b, t: ['validate', p.at('r.json'), '--comparable', b'absent-' + b]),
        ('report: compared', lambda p, b, t: ['validate', p.at('r.json'), '--comparable', p.changed(
            lambda r: r['environment']['host'].update(cpu=t))]),
        ('bisect: path', lambda p, b, t: ['bisect', b'absent-' + b]),
        ('rerun: path', lambda p, b, t: ['run', '--rerun-failed', b'absent-' + b]),
        ('evidence: path', lambda p, b, t: ['bench', '--evidence', b'absent-' + b]),
        ('report: no folder', lambda p, b, t: ['run', 'tiny-llama', *fast, '--report', b'absent-' + b + b'/r.json']),
        ('goldens: tensor', lambda p, b, t: ['golden', p.model, '--goldens', p.put('g.safetensors', safetensors(t[:4000]))]),
        ('goldens: key', lambda p, b, t: ['golden', p.model, '--goldens', p.put(
            'g.json', '{{{0}: 1, {0}: 2}}'.format(json.dumps(t)).encode())]),
        ('goldens: path', lambda p, b, t: ['golden', p.model, '--goldens', b'absent-' + b]),
        ('config: model_type', lambda p, b, t: ['inspect', p.checkpoint(config=lambda c: c.update(model_type=t, architectures=[t]))]),
        ('config: unknown key', lambda p, b, t: ['inspect', p.checkpoint(config=lambda c: c.update({t: 1}))]),
        ('config: value', lambda p, b, t: ['inspect', p.checkpoint(config=lambda c: c.update(hidden_act=t, hidden_activation=t))]),
        ('config: number', lambda p, b, t: ['inspect', p.checkpoint(config=lambda c: c.update(hidden_size=t))]),
        ('weights: tensor', lambda p, b, t: ['inspect', p.checkpoint(weights=safetensors(t[:4000], size=2))]),
        ('weights: type', lambda p, b, t: ['inspect', p.checkpoint(weights=safetensors('x', dtype=t))]),
        ('index: shard', lambda p, b, t: ['inspect', p.checkpoint(index={'weight_map': {'x': t}})]),
        ('index: tensor', lambda p, b, t: ['inspect', p.checkpoint(index={'weight_map': {t: 1}})]),
        ('gguf: architecture', lambda p, b, t: ['inspect', p.put('m.gguf', gguf(architecture=b))]),
        ('gguf: key', lambda p, b, t: ['inspect', p.put('m.gguf', gguf(key=b, kind=99))]),
        ('model: folder', lambda p, b, t: ['inspect', p.checkpoint(name=b[:200])]),
        ('model: folder as JSON', lambda p, b, t: ['inspect', '--json', p.checkpoint(name=b[:200])]),
        ('model: folder that is none', lambda p, b, t: ['run', p.folder.encode() + b'/absent-' + b]),
        ('run: folder', lambda p, b, t: ['run', p.checkpoint(name=b[:200]), *fast, '--durations', '3']),
        ('list: folder', lambda p, b, t: ['list', '--cases', p.checkpoint(name=b[:200]), *fast]),
        ('list: folder as JSON', lambda p, b, t: ['list', '--cases', '--json', p.checkpoint(name=b[:200]), *fast]),
        ('list: groups', lambda p, b, t: ['list', '--groups', p.checkpoint(name=b[:200]), *fast]),
        ('goldens of another model', lambda p, b, t: ['golden', p.checkpoint(name=b[:200]), '--goldens', os.path.join(
            FIXTURES, 'goldens/hf-tiny/qwen3/goldens.safetensors'), '--dtype', 'fp32', '--device', 'host']),
        ('argument: command', lambda p, b, t: [b]),
        ('argument: option', lambda p, b, t: ['run', b'--' + b]),
        ('argument: suite', lambda p, b, t: ['run', '--suite', b]),
        ('argument: case', lambda p, b, t: ['run', 'tiny-llama', *fast, '--case', b]),
        ('argument: dtype', lambda p, b, t: ['run', '--dtype', b]),
        ('argument: device', lambda p, b, t: ['run', '--device', b]),
        ('argument: seed', lambda p, b, t: ['run', '--seed', b]),
        ('argument: require', lambda p, b, t: ['run', '--require', b]),
        ('argument: measure', lambda p, b, t: ['run', '--measure', b]),
        ('argument: executor', lambda p, b, t: ['run', '--executor', b]),
        ('argument: n', lambda p, b, t: ['bench', '--n', b]),
        ('argument: prompt', lambda p, b, t: ['bench', '--what', 'prefill', '--prompt', b]),
        ('argument: what', lambda p, b, t: ['bench', '--what', b]),
        ('argument: fault', lambda p, b, t: ['fuzz', '--fault', b]),
        ('argument: schedule', lambda p, b, t: ['fuzz', '--model', 'tiny-llama', '--schedule', b]),
        ('argument: shell', lambda p, b, t: ['completion', b]),
        ('argument: format', lambda p, b, t: ['export', b, 'r.json']),
        ('gate: revision', lambda p, b, t: ['gate', '--baseline', b'absent-' + b, '--candidate', ASSAY]),
        ('policy: path', lambda p, b, t: ['gate', '--policy', b'absent-' + b, '--reports', p.at('r.json'), p.at('r.json')]),
        ('policy: key', lambda p, b, t: ['gate', '--policy', p.put('p.json', {'name': 'x', t: 1}), '--reports',
                                        p.at('r.json'), p.at('r.json')]),
        ('policy: suite', lambda p, b, t: ['gate', '--policy', p.put('p.json', {
            'schema': {'name': 'assay.policy', 'version': '1.0.0'}, 'name': 'x', 'require': {'suites': [t]}}),
            '--reports', p.at('r.json'), p.at('r.json')]),
        ('gate: report', lambda p, b, t: ['gate', '--reports', p.at('r.json'), b'absent-' + b]),
        ('plan: member', lambda p, b, t: ['run', '--executor', 'files', '--run', p.at('parts'), '--bundle', '0', '--plan', p.put(
            'e.json', '{{{0}: 1, {0}: 2}}'.format(json.dumps(t)).encode())]),
        ('plan: path', lambda p, b, t: ['status', b'absent-' + b]),
        ('merge: shard', lambda p, b, t: ['merge', os.path.dirname(p.put(
            b'shards/group-00000.attempt-1.' + b[:100] + b'.jsonl', b'{' + b)), '--plan', p.at('plan.json'), '--report',
            p.at('m.json')]),
        ('history: report', lambda p, b, t: ['history', '--db', p.at('h.db'), 'add', p.changed(lambda r: r.update({t: 1}))]),
        ('history: path', lambda p, b, t: ['history', '--db', p.at('h.db'), 'add', b'absent-' + b]),
        ('history: run', lambda p, b, t: ['history', '--db', p.at('h.db'), 'show', b]),
        ('history: date', lambda p, b, t: ['history', '--db', p.at('h.db'), 'prune', '--before', b]),
        ('history: measure', lambda p, b, t: in_history(p, b, t, 'history', 'show')),
        ('history: list', lambda p, b, t: in_history(p, b, t, 'history', 'list')),
        ('trend', lambda p, b, t: in_history(p, b, t, 'trend')),
        ('trend: now', lambda p, b, t: ['trend', '--db', p.at('h.db'), '--now', b]),
        ('render: folder', lambda p, b, t: ['history', 'render', b'absent-' + b]),
    ]
    rows.append(('export: csv', lambda p, b, t: ['export', 'csv', of_folder(p, p.checkpoint(name=b[:200]), fast)]))
    for form in ('junit', 'markdown', 'github'):
        rows.append(('export: ' + form, lambda p, b, t, form=form: ['export', form, broken(p, t)]))
    return rows


def broken(p, t):
    """A report that holds, of a run with a measure and arguments of that name, that did not finish."""
    def change(r):
        r['integrity'].update(complete=False, problems=[t])
        r['run'].update(finished=None, argv=['assay', t])
        r['verdict'] = 'INCOMPLETE'
        r['measures'] = [{'name': t, 'value': 1, 'unit': t}]
    return p.changed(change)


def of_folder(p, folder, fast):
    run('run', folder, *fast, '--report', p.at('f.json'))
    return p.at('f.json')


def in_history(p, b, t, *command):
    base = p.at('h2.db')
    for name in (base, base + '-wal', base + '-shm'):
        if os.path.exists(name): os.unlink(name)
    with open(broken(p, t), 'rb') as file: report = p.put(b'reports/' + b[:200].replace(b'/', b''), file.read())
    run('history', '--db', base, 'add', report)
    return [*command, *([p.report['run']['id']] if command[-1] == 'show' else []), '--db', base]


def run(*arguments, cwd=None):
    # A seed of the terminal's own colours would be escape sequences too.
    return subprocess.run([ASSAY, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=cwd, timeout=120,
                          stdin=subprocess.DEVNULL, env=dict(os.environ, NO_COLOR='1', LC_ALL='C.UTF-8'))


def raw(said, of_lines):
    """Why a terminal would not only show this; empty: it would. Files of lines hold line ends and tabs of their own."""
    try:
        text = said.decode('utf-8')
    except UnicodeDecodeError as error:
        return f'no UTF-8: {error.reason}'
    if of_lines:
        text = re.sub('\n *END', '', text.replace('\r\n', '\n').replace('\t', ''))
    for c in text:
        if c != '\n' and unicodedata.category(c) in ('Cc', 'Cf', 'Zl', 'Zp'): return f'character {ord(c):#x}'
    for line in text.split('\n'):
        if line.startswith('END'): return 'a line of its own'
        if len(line) > LONGEST and not of_lines and not line.startswith('{'): return f'a line of {len(line)} characters'
    return ''


def main():
    failed = shown_all = 0
    rows = table()
    with tempfile.TemporaryDirectory() as folder:
        places = Places(folder)
        for name, arguments in rows:
            shown = 0
            for kind, nasty in NASTY.items():
                given = b'NAME' + nasty + b'END'
                command = arguments(places, given, text_of(given))
                done = run(*command, cwd=folder)
                why = raw(done.stdout, name.startswith('export'))
                if done.returncode < 0 or done.returncode == 6: why = f'exit {done.returncode}'
                if why:
                    failed += 1
                    print(f'{name}: {kind}: {why}: {done.stdout[:300]!r}')
                shown += b'NAME' in done.stdout
            shown_all += shown
            if not shown:
                failed += 1
                print(f'{name}: its text is never shown: {done.stdout[:300]!r}')
    print(f'{len(rows)} places, {len(NASTY)} strings, shown {shown_all} times, {failed} wrong')
    return 1 if failed else 0


sys.exit(main())
