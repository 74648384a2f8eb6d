#!/usr/bin/env python3
"""Hostile files, unlucky machines: what each gets for an answer.

Usage: ci/hostile_checks.py ASSAY FIXTURES. What needs root, namespaces or a shell that is not here is named and left out.
"""
import copy, json, os, resource, shutil, signal, stat, struct, subprocess, sys, tempfile

from shared_report import CONTAINER

ASSAY, FIXTURES = os.path.realpath(sys.argv[1]), os.path.realpath(sys.argv[2])
QUICK = ['--suite', 'Decode', '--dtype', 'fp32', '--device', 'host']
failed = 0
left_out = []


def bad(text):
    global failed
    failed += 1
    print(text)


def run(*arguments, before=(), **more):
    return subprocess.run([*before, ASSAY, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300,
                          **{'stdin': subprocess.DEVNULL, **more})


def expect(code, text, *arguments, **more):
    done = run(*arguments, **more)
    if done.returncode != code or text.encode() not in done.stdout:
        bad(f'assay {arguments}: expected exit {code} and {text!r}, found exit {done.returncode} and {done.stdout[-700:]!r}')
    return done


def put(name, content):
    with open(name, 'wb') as file: file.write(content if isinstance(content, bytes) else json.dumps(content).encode())
    return name


def checkpoint(name, config=None, weights=None, index=None):
    """A copy of a tiny model in which some file is what is given."""
    shutil.rmtree(name, ignore_errors=True)
    shutil.copytree(os.fsencode(os.path.join(FIXTURES, 'goldens/hf-tiny/llama3')), os.fsencode(name))
    for file, change in (('config.json', config), ('model.safetensors', weights)):
        path = os.path.join(os.fsencode(name), file.encode())
        if change:
            with open(path, 'rb') as old: content = change(old.read())
            put(path, content)
    if index is not None: put(os.path.join(name, 'model.safetensors.index.json'), index)
    return name


def with_header(weights, change):
    length, = struct.unpack('<Q', weights[:8])
    header = change(weights[8:8 + length])
    return struct.pack('<Q', len(header)) + header + weights[8 + length:]


def nothing_behind_the_end():
    tail = b'\0{"verdict":"FAIL"} garbage'
    report = open('r.json', 'rb').read().rstrip()
    expect(2, 'NUL at byte', 'validate', put('tail.json', report + tail))
    expect(2, 'not a report', 'validate', put('tail.json', report + b'{}'))
    expect(2, 'NUL at byte', 'inspect', checkpoint('m', config=lambda c: c + tail))
    expect(2, 'NUL at byte', 'inspect', checkpoint('m', weights=lambda w: with_header(w, lambda h: h.rstrip() + tail)))
    expect(2, 'NUL at byte', 'inspect', checkpoint('m', index=b'{"weight_map":{"x":"model.safetensors"}}' + tail))
    goldens = open(os.path.join(FIXTURES, 'goldens/gguf-tiny/llama.logits.json'), 'rb').read()
    expect(2, 'NUL at byte', 'golden', 'gguf-tiny/llama', '--goldens', put('g.json', goldens.rstrip() + tail))
    expect(2, 'NUL at byte', 'gate', '--policy', put('p.json', b'{}' + tail), '--reports', 'r.json', 'r.json')
    plan = open('plan.json', 'rb').read().rstrip()
    expect(2, 'NUL at byte', 'run', '--executor', 'files', '--bundle', '0', '--run', 'parts', '--plan', put('t.json', plan + tail))


def limits_of_json():
    deep = 110000
    report = json.load(open('r.json'))
    text = json.dumps(dict(report, schema={'name': 'assay.report', 'version': 'DEEP'}))
    for key in ('version', 'name'):
        nested = text.replace('"DEEP"', '"2.5.0"').replace({'version': '"2.5.0"', 'name': '"assay.report"'}[key],
                                                           '[' * deep + ']' * deep, 1)
        done = expect(2, 'nested deeper than 32 levels', 'validate', put('deep.json', nested.encode()))
        if len(done.stdout.splitlines()) != 1: bad(f'a report nested deep has no single line: {done.stdout[:300]!r}')
    expect(2, "key 'verdict' appears twice", 'validate',
           put('twice.json', json.dumps(report).replace('"verdict"', '"verdict": "FAIL", "verdict"', 1).encode()))
    expect(2, "appears twice", 'inspect', checkpoint('m', config=lambda c: c.replace(b'{', b'{"hidden_size": 1,', 1)))
    # A million members of one object: refused for its memory or its shape, and soon.
    expect(2, '', 'validate', put('wide.json', ('{' + ','.join(f'"{i}":0' for i in range(10 ** 6)) + '}').encode()))


def goldens():
    recorded = json.load(open(os.path.join(FIXTURES, 'goldens/gguf-tiny/llama.logits.json')))
    for rows in (recorded['logits'][:1], recorded['logits']):
        cut = copy.deepcopy(recorded)
        for row in cut['logits'][:len(rows)]: del row[91:]
        expect(2, '91', 'golden', 'gguf-tiny/llama', '--goldens', put('cut.json', cut), '--device', 'host')
    header = json.dumps({'A' * 4096: {'dtype': 'F32', 'shape': [], 'data_offsets': [0, 4]}}).encode()
    done = expect(2, 'bytes ...]', 'golden', 'gemma4-nano', '--goldens',
                  put('long.safetensors', struct.pack('<Q', len(header)) + header + b'\0\0\0\0'))
    if len(done.stdout) > 500: bad(f'a name of 4096 bytes is told in {len(done.stdout)}')


def contradictions():
    def changed(change, name='changed.json'):
        report = json.load(open('r.json'))
        change(report)
        return put(name, report)
    def judgement(r): return r['cases'][0]['judgements'][0]
    def nan(r):
        judgement(r).pop('value', None)
        judgement(r)['non_finite'] = {'value': 'nan'}
    expect(1, 'is MATCH, but', 'validate', changed(nan))
    expect(1, 'is MATCH, but', 'validate', changed(lambda r: judgement(r).update(value=9e9)))
    expect(1, 'before it started', 'validate', changed(lambda r: r['run'].update(finished='2001-01-01T00:00:00.000Z')))
    expect(1, 'reported twice', 'validate', changed(lambda r: r['cases'].append(r['cases'][0])))
    # Several files, one of them standard input: the worst decides.
    expect(1, 'changed.json: ', 'validate', 'r.json', 'changed.json', '-', stdin=open('r.json'))
    expect(0, '-: valid', 'validate', 'r.json', '-', stdin=open('r.json'))
    incomplete = changed(lambda r: (r['integrity'].update(complete=False, problems=['stopped']),
                                    r['run'].update(finished=None), r.update(verdict='INCOMPLETE')))
    expect(4, 'a pass is required', 'validate', '--require-pass', incomplete)
    expect(0, 'valid, PASS', 'validate', '--require-pass', 'r.json')
    os.mkfifo('pipe')
    for special in ('pipe', '/dev/zero', '/dev/null'):
        expect(2, 'a device, pipe or socket', 'validate', special)
    with open('sparse.json', 'wb') as file: file.truncate((1 << 30) + 1)
    expect(2, 'more than 1073741824 bytes', 'validate', 'sparse.json')
    os.unlink('sparse.json')


def real_places():
    for option in ('--report', '--case', '--junit', '--suite', '--model'):
        expect(2, 'its argument is empty', 'run', 'tiny-llama', *QUICK[:2], option, '')
    # Whatever is left of others is left alone, and in nobody's way.
    os.mkdir('place')
    others = [put(f'place/{name}', b'anything') for name in ('r.json.1.tmp', '.assay-1.tmp', 'r.json.tmp')]
    expect(0, 'PASS', 'run', 'tiny-llama', *QUICK, '--report', 'place/r.json')
    if sorted(os.listdir('place')) != sorted(['r.json', *map(os.path.basename, others)]): bad(f'left: {os.listdir("place")}')
    # A file that may not grow: the signal is no end, the write fails.
    def short(): resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
    put('old.json', open('r.json', 'rb').read())
    expect(2, 'File too large', 'run', 'tiny-llama', '--suite', 'Decode,BatchedDecode,CacheAliasing,RingWrap', *QUICK[2:],
           '--report', 'old.json', preexec_fn=short)
    expect(4, 'the run did not finish', 'validate', 'old.json')  # what was there is not taken for the run's own
    if os.geteuid() != 0 or not shutil.which('setpriv'):
        return left_out.append('folders without permission (not root, or no setpriv)')
    nobody = ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups']
    os.chmod('.', 0o755)
    os.mkdir('shut'), put('shut/r.json', open('r.json', 'rb').read())
    expect(2, 'what is there is not of this run', 'run', 'tiny-llama', *QUICK, '--report', 'shut/r.json', before=nobody)
    os.mkdir('drop'), os.chmod('drop', 0o733)  # may be written to, not read
    expect(0, 'PASS', 'run', 'tiny-llama', *QUICK, '--report', 'drop/r.json', before=nobody)
    if stat.S_IMODE(os.stat('drop/r.json').st_mode) != 0o644: bad(f'mode {os.stat("drop/r.json").st_mode:o}')


def folder_names():
    shells = [shell for shell in ('bash', 'dash', 'zsh') if shutil.which(shell)]
    left_out.extend(f'pasting into {shell}' for shell in ('bash', 'dash', 'zsh') if shell not in shells)
    wrong = os.path.join(FIXTURES, 'goldens/hf-tiny/qwen3/goldens.safetensors')
    for name in (b'new\nline', b'm\x15touch PWNED\rx', b'esc\x1b[31m', b'\xff\xfe', '\u202ecod'.encode(), b"it's %s $(touch PWNED)",
                 b'ends\n', b'=x', b'a*[b]?'):
        checkpoint(name)
        expect(0, 'PASS', 'run', name, *QUICK, '--report', 'named.json')
        expect(0, 'valid, PASS', 'validate', 'named.json')
        expect(1, 'FAIL', 'golden', name, '--goldens', wrong, '--dtype', 'fp32', '--device', 'host', '--report', 'named.json')
        expect(0, 'valid, FAIL', 'validate', 'named.json')
        replay = json.load(open('named.json'))['cases'][0]['replay']
        if not replay.isascii() or not replay.isprintable(): bad(f'{name}: replay line {replay!r}')
        for shell in shells:
            pasted = subprocess.run([shell], input=replay.replace('assay', ASSAY, 1).encode() + b'\n',
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if b'0 of 1 cases passed, 1 failed' not in pasted.stdout:
                bad(f'{name} in {shell}: {replay!r} gives {pasted.stdout[-300:]!r}')
        if os.path.exists('PWNED'): bad(f'{name}: the line ran a part of the name'), os.unlink('PWNED')
        shutil.rmtree(name)


def small_windows():
    with open(os.path.join(FIXTURES, 'hostile/gemma4-window-1.gguf'), 'rb') as file: one = file.read()
    at = one.index(b'gemma4.attention.sliding_window' + struct.pack('<II', 4, 1)) + 35
    for window in range(1, 5):
        narrow = put('narrow.gguf', one[:at] + struct.pack('<I', window) + one[at + 4:])
        expect(0, 'PASS', 'run', narrow, '--dtype', 'fp32', '--device', 'host', '--quiet')


def containers():
    container = ['unshare', '-mpf', *CONTAINER]
    if subprocess.run([*container, 'true'], stderr=subprocess.DEVNULL).returncode != 0:
        return left_out.append('containers (unshare -mp is not allowed)')
    for _ in range(5):
        pair = [subprocess.Popen([*container, ASSAY, 'run', 'tiny-llama', *QUICK, '--report', 'place/shared.json'],
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(2)]
        for one in pair:
            said, _ = one.communicate()
            if one.returncode != 0: bad(f'one of two runs of process 1: exit {one.returncode}: {said[-300:]!r}')
        expect(0, 'valid, PASS', 'validate', 'place/shared.json')


def little_memory():
    expect(2, 'not in range', 'bench', '--n', '1024')
    group = '/sys/fs/cgroup/memory/assay-check'
    try:
        os.mkdir(group)
        put(group + '/memory.limit_in_bytes', b'268435456')
    except OSError:
        if os.path.isdir(group): os.rmdir(group)
        return left_out.append('a limited control group (none can be made)')
    try:
        def limited(): put(group + '/cgroup.procs', str(os.getpid()).encode())
        expect(2, 'this process may have 256.00 MiB', 'run', 'gemma3-270m', *QUICK, preexec_fn=limited)
        expect(0, 'PASS', 'run', 'tiny-llama', *QUICK, preexec_fn=limited)
    finally:
        os.rmdir(group)


def main():
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        expect(0, 'PASS', 'run', 'tiny-llama', *QUICK, '--report', 'r.json')
        expect(0, 'plan: ', 'plan', 'tiny-llama', *QUICK, '--bundles', '1', '--out', 'plan.json')
        for part in (nothing_behind_the_end, limits_of_json, goldens, contradictions, real_places, folder_names, small_windows, containers,
                     little_memory):
            part()
        os.chdir('/')
    for what in left_out: print('left out:', what)
    return 1 if failed else 0


sys.exit(main())
