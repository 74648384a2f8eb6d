#!/usr/bin/env python3
"""Pairs of runs with one process id write one report, and are killed at random.

Usage: ci/shared_report.py ASSAY [--kills N] [--seed S]. Each run is process 1 of a PID namespace, as in two containers on
one volume. After every pair the report must be whole and valid, of a run of this pair if one of them ended, else of this
or an earlier pair; a run that was not killed must end well. Exit 77: namespaces are not allowed here.
"""
import argparse, json, os, random, subprocess, sys, tempfile, time

SHORT, LONG = 0.0, 0.35  # seconds after which a run is killed: from its start to well after its end


# As containers have it: process ids from 1, and a /dev/shm of one's own, where LLVM's OpenMP keeps files by process id.
CONTAINER = ['sh', '-c', 'mount -t tmpfs tmpfs /dev/shm; exec "$@"', 'sh']


def started(assay, report, mark):
    command = ['unshare', '-mpf', '--kill-child=KILL', *CONTAINER, assay, 'run', 'tiny-llama', '--suite', 'Decode,Prefill', '--dtype', 'fp32',
               '--device', 'host', '--quiet', '--measure', f'{mark}=1', '--report', report]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('assay')
    parser.add_argument('--kills', type=int, default=500)
    parser.add_argument('--seed', type=int, default=1)
    arguments = parser.parse_args()
    assay = os.path.realpath(arguments.assay)
    if subprocess.run(['unshare', '-mpf', *CONTAINER, 'true'], stderr=subprocess.DEVNULL).returncode != 0:
        print('all skipped: unshare -mp is not allowed here')
        return 77
    dice = random.Random(arguments.seed)
    kills = ended = pairs = failed = of_others = 0
    with tempfile.TemporaryDirectory() as folder:
        report = os.path.join(folder, 'shared.json')
        while kills < arguments.kills:
            pairs += 1
            marks = [f'p{pairs}.{side}' for side in 'ab']
            runs = {mark: started(assay, report, mark) for mark in marks}
            doomed = {mark: dice.uniform(SHORT, LONG) for mark in marks if dice.random() < 0.75}
            begin, killed, existed = time.monotonic(), set(), os.path.exists(report)
            while any(run.poll() is None for run in runs.values()):
                for mark, after in doomed.items():
                    if mark not in killed and runs[mark].poll() is None and time.monotonic() - begin >= after:
                        runs[mark].kill()
                        killed.add(mark)
                time.sleep(0.002)
            kills += len(killed)
            problems = []
            for mark, run in runs.items():
                said = run.stdout.read()
                if run.returncode == 0: ended += 1
                elif mark not in killed: problems.append(f'{mark}: exit {run.returncode}: {said[-300:]!r}')
            if os.path.exists(report):
                try:
                    text = open(report).read()
                    names = [measure['name'] for measure in json.loads(text)['measures']]
                    if len(names) != 1 or not 1 <= int(names[0][1:].split('.')[0]) <= pairs: problems.append(f'of another: {names}')
                    elif names[0] not in marks:
                        of_others += 1
                        if any(run.returncode == 0 for run in runs.values()): problems.append(f'{names[0]} after {marks} ended')
                except ValueError as error:
                    problems.append(f'torn: {error}: {text[:80]!r} ... {text[-80:]!r}')
                valid = subprocess.run([assay, 'validate', report], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                if valid.returncode not in (0, 4): problems.append(f'validate: exit {valid.returncode}: {valid.stdout[-300:]!r}')
            elif existed or any(run.returncode == 0 for run in runs.values()):
                problems.append('missing')
            failed += len(problems)
            for problem in problems: print(f'pair {pairs}: {problem}')
        seen_missing = not os.path.exists(report)
        left = len([name for name in os.listdir(folder) if name != 'shared.json'])
    if seen_missing: failed += 1
    print(f'{kills} kills, {pairs} pairs, {ended} runs ended well, {of_others} pairs left an earlier report, {left} temporaries '
          f'of killed runs, {failed} wrong')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
