"""Runs the stages side by side on the GPUs of one host, each within its share of the time.

  python chain.py first  --work W --out O --seconds 420 --photos P       VAE, text, text-to-video teacher
  python chain.py second --work W --out O --seconds 480 --photos P --state S     both teachers
  python chain.py third  --work W --out O --seconds 480 --photos P --state S     sparse attention, distillation, experts
  python chain.py fourth --work W --out O --seconds 220 --photos P --state S     more distillation
  python chain.py refine --work W --out O --seconds 585 --photos P --state S     the judge; all nets further, and a first look
  python chain.py polish --work W --out O --seconds 320 --state S     text to video: the student beside its teacher, guidance by trial
  python chain.py match  --work W --out O --seconds 480 --photos P --state S     distribution matching; a wider decoder, experts with fewer keys
  python chain.py trial  --work W --out O --seconds 290 --state S     three ways to teach the teacher what it fails at, a GPU each
  python chain.py student --work W --out O --seconds 240 --state S    the student alone, beside the teacher as it is
  python chain.py drill  --work W --out O --seconds 380 --state S     text to video on what it fails at: teacher, then student

`S` is the folder that an earlier part left in `O` (or none, when W is still there). With fewer GPUs the jobs of a part
queue up, and each gets the share of the time that its GPU time is of the whole. A stage that fails costs the others
nothing; every half minute and at the end the nets, logs and sheets are copied to `O`.
"""
import argparse
from dataclasses import dataclass, field
import os
from pathlib import Path
import shutil
import signal
import subprocess
import sys
import tarfile
import time

HERE = Path(__file__).resolve().parent


@dataclass
class Job:
    """`begin` and `end` are shares of the part's time with four GPUs; `gpus` names them."""
    name: str
    command: list
    gpus: tuple
    begin: float
    end: float
    needs: tuple = ()
    beside: bool = False  # shares its GPU with others of this kind
    processes: list = field(default_factory=list)
    state: str = 'waiting'
    deadline: float = 0.


def plan(part, photos, count):
    """The jobs of a part on four GPUs or on two, and the files it leaves."""
    p, four = ['--photos', photos] if photos else [], count >= 4
    if four:
        a, b = (0, 1), (2, 3)
    else:
        a, b = (0,), (1,)
    last = b[-1]

    def sheet(name, gpu, mode, *more, needs=()):
        command = ['sample.py', '--out', '{work}/sheets/' + name + '.jpg', '--mode', mode, '--count', '10', *p, *more]
        return Job('sheet_' + name, command, (gpu,), .955, 1., needs)

    teacher = lambda name, gpu, mode, g, needs=(): sheet(
        name, gpu, mode, '--names', mode, '--dense', '--steps', '0', '--guidance', g, needs=needs)
    if part == 'first':
        if four:
            jobs = [Job('measure', ['measure.py'], (2,), 0, .13),
                    Job('text', ['train_text.py'], (2,), .13, .35, ('measure',)),
                    Job('vae_video', ['train_vae.py', 'video', *p], (3,), .40, .93, ('vae_image', 'extra')),
                    Job('t2v', ['train_teacher.py', '--mode', 't2v', *p], (0, 1, 2), .36, .93, ('vae_image', 'text'))]
        else:
            jobs = [Job('text', ['train_text.py', '--seconds', '60'], (0,), .02, .33),
                    Job('t2v', ['train_teacher.py', '--mode', 't2v', *p], (0, 1), .36, .93, ('vae_image', 'text'))]
        jobs = [Job('vae_image', ['train_vae.py', 'image', *p], a, 0, .36), *jobs, sheet('vae', last, 'vae', '--count', '4'),
                teacher('t2v', 0, 't2v', '1'), teacher('t2v_guided', last, 't2v', '2.5')]
        return jobs, ['ckpt/vae.pt', 'ckpt/vae_image.pt', 'ckpt/text.pt', 'ckpt/t2v.pt']
    if part == 'second':
        more = [] if four else [Job('vae_video', ['train_vae.py', 'video', '--seconds', '150', *p], b, 0, .25)]
        return [
            *more,
            Job('t2v', ['train_teacher.py', '--mode', 't2v', '--init', 't2v', '--freeze_text', '--early', '.15', *p], a, 0, .93),
            Job('i2v', ['train_teacher.py', '--mode', 'i2v', '--init', 't2v', '--freeze_text', '--early', '.3', *p], b, 0, .93, ('vae_video',)),
            teacher('t2v', a[0], 't2v', '1'), teacher('i2v', b[0], 'i2v', '1'),
            teacher('t2v_guided', a[-1], 't2v', '2.5'), teacher('i2v_guided', b[-1], 'i2v', '2'),
        ], ['ckpt/t2v.pt', 'ckpt/i2v.pt', 'ckpt/vae.pt']
    if part in ('refine', 'polish'):
        return refine(p, a, b) if part == 'refine' else polish(a[0], b[-1])
    if part == 'match':
        return match(p, a[0], b[-1])
    if part == 'trial':
        return trial(list(range(max(1, count))))
    if part == 'student':
        return student(tuple(range(max(1, count))))
    if part == 'drill':
        return drill(p, tuple(range(max(1, count))))
    more, begin = part == 'fourth', 0. if part == 'fourth' else .29
    expert = lambda e, gpu: Job(f'i2v_{e}_few', ['distil.py', '--mode', 'i2v', '--expert', e, '--teacher', 'i2v', '--topks', '.1', '.5', '0', *p], (gpu,), 0, .95)
    few = ['distil.py', '--mode', 't2v', '--teacher', 't2v', '--init', 't2v_sla', '--guidance', '2.5', *p]
    t2v, i2v = ['t2v', '--names', 't2v_few'], ['i2v', '--names', 'i2v_high_few', 'i2v_low_few']
    return [
        *([] if more else [Job('t2v_sla', ['train_sla.py', '--mode', 't2v', *p], a, 0, .29)]),
        Job('t2v_few', few, a, begin, .95, ('t2v_sla',)), expert('high', b[0]), expert('low', b[-1]),
        sheet('t2v_4', a[0], *t2v), sheet('t2v_1', a[-1], *t2v, '--steps', '1'),
        sheet('i2v_4', b[0], *i2v), sheet('i2v_1', b[-1], *i2v, '--steps', '1'),
    ], ['ckpt/t2v_few.pt', 'ckpt/i2v_high_few.pt', 'ckpt/i2v_low_few.pt']


def refine(p, a, b):
    """Everything a second time, from the nets of before: the judge and image to video beside the teacher of text to video,
    whose student then has all GPUs; at the end a first look at both."""
    first, last = a[0], b[-1]
    judge = lambda name, begin, end, *more, needs=(): Job(f'judge_{name}', [
        'train_judge.py', name, '--out', '{work}/judge', *(['--photos', str(Path(p[1]).parent)] if p else []), '--vae', '{work}/ckpt/vae.pt', *more],
        (last,), begin, end, needs, True)
    few = ['distil.py', '--choice', '0', '--topks', '.5', '.5', '.1', '0', '--own', '.75', *p]
    learned = ('judge_film', 'judge_thing')
    expert = lambda e: Job(f'i2v_{e}_few', [*few, '--mode', 'i2v', '--expert', e, '--teacher', 'i2v'], (last,), .30, .615, learned, True)
    look = lambda name, gpu, *nets: Job(name, ['compare.py', '--weights', '{work}/judge', '--out', '{work}/sheets/' + name, *nets], (gpu,), .93, 1., ('t2v_few',))
    return [
        judge('film', 0, .30), judge('thing', 0, .30), judge('check', .30, .37, '--check', '240', needs=learned),
        Job('vae_video', ['train_vae.py', 'video', '--go_on', '--rate', '2e-3', *p], (last,), .30, .60, learned, True),
        expert('high'), expert('low'),
        Job('before', ['compare.py', '--weights', '{work}/judge', '--out', '{work}/sheets/before', '--count', '48', 'half_before=before_t2v_few,topk=.5',
                       'tenth_before=before_t2v_few,topk=.1', 'teacher_before=before_t2v,steps=0,guidance=2.5'], (last,), .30, .60, learned, True),
        Job('t2v', ['train_teacher.py', '--mode', 't2v', '--init', 't2v', '--freeze_text', '--early', '.35', '--rate', '2e-3', '--refresh', '.15', *p], a, 0, .62),
        Job('t2v_few', [*few, '--mode', 't2v', '--teacher', 't2v', '--guidance', '2.5'], tuple(sorted({*a, *b})), .62, .925,
            ('t2v', 'i2v_high_few', 'i2v_low_few', 'vae_video')),
        look('teacher', first, '--count', '100', 'teacher=t2v,steps=0,guidance=2.5'),
        look('student', last, '--count', '100', 'half=t2v_few,topk=.5', 'tenth=t2v_few,topk=.1'),
    ], ['ckpt/t2v.pt', 'ckpt/t2v_few.pt', 'ckpt/i2v_high_few.pt', 'ckpt/i2v_low_few.pt', 'ckpt/vae.pt', 'judge/film.safetensors', 'judge/thing.safetensors']


def polish(first, last):
    """Text to video alone: the teacher on one GPU; on the other its student, which takes up the new teacher late, and early the
    guidance that a trial with the teacher of before finds best."""
    look = lambda name, gpu, begin, end, *more, needs=(), beside=False: Job(
        name, ['compare.py', '--weights', '{work}/judge', '--out', '{work}/sheets/' + name, *more], (gpu,), begin, end, needs, beside)
    return [
        Job('t2v', ['train_teacher.py', '--mode', 't2v', '--init', 't2v', '--freeze_text', '--early', '.3', '--rate', '2e-3', '--refresh', '.15', '--hard', '.2'],
            (first,), 0, .80),
        Job('t2v_few', ['distil.py', '--mode', 't2v', '--teacher', 'before_t2v', '--guidance', '2.5', '--follow', 't2v', '--choice', '0', '--topks', '.5', '.5', '.5', '.1', '0',
                        '--own', '.75', '--hard', '.15'], (last,), 0, .89, (), True),
        look('guidance', last, 0, .5, '--count', '60', '--shown', '12', '--choose', '{work}/guidance.txt',
             *(f'g{g}=before_t2v,steps=0,guidance={g}' for g in (2.5, 3.5, 5)), beside=True),
        look('teacher', first, .805, 1., '--count', '100', 'teacher=t2v,steps=0,guidance=2.5', 'guided=t2v,steps=0,guidance=3.5', needs=('t2v',)),
        look('student', last, .895, 1., '--count', '100', 'half=t2v_few,topk=.5', 'tenth=t2v_few,topk=.1', needs=('t2v_few', 'guidance')),
    ], ['ckpt/t2v.pt', 'ckpt/t2v_few.pt', 'guidance.txt']


def match(p, first, last):
    """Text to video by distribution matching on one GPU; on the other the decoder, wider, and the experts, which learn to say
    with a tenth of the keys what they said with half of them. They begin as they are: copies before_*.pt are their teachers."""
    expert = lambda e: Job(f'i2v_{e}_few', [
        'distil.py', '--mode', 'i2v', '--expert', e, '--teacher', f'before_i2v_{e}_few', '--single', '--teacher_topk', '.5', '--topks', '.1', '.1', '.5', '0',
        '--choice', '0', '--again', '1', '--first', '8', '--rate', '6e-4', *p], (last,), 0, .9, (), True)
    look = lambda name, gpu, *nets: Job(name, ['compare.py', '--weights', '{work}/judge', '--out', '{work}/sheets/' + name, '--count', '100', *nets], (gpu,), .9, 1., ('t2v_match',), True)
    return [
        Job('t2v_match', ['match.py', '--mode', 't2v', '--init', 't2v_few', '--name', 't2v_match', '--layers', '9', '--guidance', '3.5', '--hard', '.2'], (first,), 0, .9),
        Job('vae_video', ['train_vae.py', 'video', '--go_on', '--decoder', '16', '--squares', '.7', *p], (last,), 0, .93, (), True),
        expert('high'), expert('low'),
        look('half', first, 'half=t2v_match,topk=.5'), look('tenth', first, 'tenth=t2v_match,topk=.1', 'one=t2v_match,topk=.1,steps=1'),
    ], ['ckpt/t2v_match.pt', 'ckpt/t2v_match_game.pt', 'ckpt/vae.pt', 'ckpt/i2v_high_few.pt', 'ckpt/i2v_low_few.pt']


TAUGHT = ['--world', '.1']
HARD = ['--hard', '.3', '--over', '.5', '--mixed']


def look(name, gpu, begin, end, *more, needs=()):
    """Judges films of nets; several such jobs share a GPU."""
    return Job(name, ['compare.py', '--weights', '{work}/judge', '--out', '{work}/sheets/' + name, '--shown', '12', '--batch', '15', *more], (gpu,), begin, end, needs, True)


def trial(gpus):
    """The teacher of before goes on in three ways at once: with the slow changes of a film weighted up, asked where in the world
    its tokens are, and both. Each is judged on what it fails at, on numbers that no table shows."""
    jobs, ways = [], {'slow': ['--slow', '3'], 'world': ['--world', '.1'], 'both': ['--slow', '3', '--world', '.1']}
    for n, (name, more) in enumerate(ways.items()):
        gpu, net = gpus[n % len(gpus)], f't2v_{name}'
        jobs.append(Job(net, ['train_teacher.py', '--mode', 't2v', '--init', 't2v', '--name', net, '--freeze_text', '--early', '0', '--rate', '2e-3', '--refresh', '.15',
                              '--fill', '8', '--flat', '.35', '--spin', '.3', *HARD, *more], (gpu,), 0, .75))
        told = f'{name}={net},steps=0,guidance=3.5'
        jobs += [look(f'{name}_pan', gpu, .752, 1., '--count', '30', '--first', '300', '--only', 'camera=pan,place=city|mountains', told, needs=(net,)),
                 look(f'{name}_spin', gpu, .752, 1., '--count', '30', '--first', '300', '--only', 'action=spin', told, needs=(net,)),
                 look(f'{name}_shape', gpu, .752, 1., '--count', '30', '--first', '300', f'short={net},steps=0,guidance=3.5,frames=33', f'upright={net},steps=0,guidance=3.5,shape=9:16', needs=(net,))]
    return jobs, [f'ckpt/t2v_{name}.pt' for name in ways]


def student(gpus):
    """The student goes on (t2v_few is the one of before), with more of the teacher's own films and of what is decided early."""
    return [
        Job('t2v_match', ['match.py', '--mode', 't2v', '--init', 't2v_few', '--name', 't2v_match', '--layers', '9', '--guidance', '4', '--spin', '.3', '--rate', '9e-4', '--fake_rate', '1.2e-3',
                          '--topks', '.1', '.1', '.1', '.1', '.1', '.5', '0', '--alone', '40', '--fill', '6', '--flat', '.3', '--keep', '2', '--kept', '.8', '--high', '.3', '--apart', '10',
                          '--world', '.1', *HARD], gpus, 0, .88),
        look('tenth', gpus[0], .88, 1., '--count', '100', 'tenth=t2v_match,topk=.1', '--rows', 'spin:action=spin', 'pans:camera=pan', needs=('t2v_match',)),
        look('pan', gpus[-1], .88, 1., '--count', '30', '--first', '300', '--only', 'camera=pan,place=city|mountains', 'student=t2v_match,topk=.1', needs=('t2v_match',)),
        look('spin', gpus[-1], .88, 1., '--count', '30', '--first', '300', '--only', 'action=spin', 'student=t2v_match,topk=.1', needs=('t2v_match',)),
    ], ['ckpt/t2v_match.pt']


def drill(p, gpus):
    """Text to video on what it fails at, every GPU apart: the teacher, then the student, which starts (and is compiled) while the
    teacher ends and takes it up as it is then; before, the decoder on what a film's first frame is."""
    first, middle, last, over = gpus[0], gpus[len(gpus) // 2], gpus[-1], ['camera=pan,place=city|mountains']
    cases = ['--rows', 'spin:action=spin', f'pan:{over[0]}', 'pans:camera=pan']
    lost = lambda name, gpu, only, *nets: look(name, gpu, .90, 1., '--count', '30', '--first', '300', '--only', only, *nets, needs=('t2v_match',))
    few, many = 't2v_match,topk=.1', 't2v,steps=0,guidance=3.5'
    return [
        Job('t2v', ['train_teacher.py', '--mode', 't2v', '--init', 't2v', '--freeze_text', '--early', '0', '--rate', '2e-3', '--refresh', '.15', '--fill', '8', '--flat', '.35',
                    '--spin', '.3', '--apart', '10', '--save', '20', *HARD, *TAUGHT], gpus, 0, .36, (), True),
        Job('t2v_match', ['match.py', '--mode', 't2v', '--init', 't2v_few', '--name', 't2v_match', '--follow', 't2v', '--layers', '9', '--guidance', '4', '--spin', '.25', '--rate', '6e-4',
                          '--topks', '.1', '.1', '.1', '.1', '.1', '.5', '0', '--alone', '70', '--fill', '7', '--flat', '.35', '--keep', '4', '--apart', '10', '--world', '.1', *HARD], gpus, .29, .90, (), True),
        look('tenth', first, .90, 1., '--count', '100', f'tenth={few}', f'dense=t2v_match', *cases, needs=('t2v_match',)),
        look('teacher', last, .90, 1., '--count', '100', f'teacher={many}', *cases, needs=('t2v_match',)),
        lost('spin', middle, 'action=spin', f'student={few}', f'teacher={many}'), lost('pan', middle, over[0], f'student={few}', f'teacher={many}'),
        lost('shape', middle, '', f'short={few},frames=33', f'upright={few},shape=9:16', f'two={few},steps=2', f'one={few},steps=1'),
        *([Job('vae_video', ['train_vae.py', 'video', '--go_on', '--first', '1', '--squares', '.8', '--rate', '1.5e-3', '--noise', '.03', '--every', '50', *p], (last,), 0, .16, (), True)] if p else []),
    ], ['ckpt/t2v_match.pt', 'ckpt/t2v.pt', 'ckpt/vae.pt']


class Chain:
    def __init__(self, args):
        self.args, self.start = args, time.time() - args.since
        named = [n for n in os.environ.get('CUDA_VISIBLE_DEVICES', '').split(',') if n]
        self.count = args.gpus or len(named) or len([n for n in os.listdir('/dev') if n.startswith('nvidia') and n[6:].isdigit()]) or 1
        self.devices = named + [str(n) for n in range(8) if str(n) not in named]
        self.jobs, self.files = plan(args.part, args.photos, self.count)
        self.extra = None
        for job in self.jobs:
            job.command += (args.more if job.command[0].startswith(('train_te', 'train_s', 'dis', 'mat')) and job.name != 'text' else [])
            if args.films and '--count' in job.command:
                job.command[job.command.index('--count') + 1] = str(args.films)
        if self.count < 2:
            self.queue_up()

    def queue_up(self):
        """One after the other, on as many GPUs as there are."""
        work = [(j.end - j.begin) * len(j.gpus) for j in self.jobs]
        at = 0.
        for job, w in zip(self.jobs, work):
            job.begin, job.end, at = at, at + w / sum(work), at + w / sum(work)
            job.gpus = tuple(range(min(len(job.gpus), self.count)))

    @property
    def now(self):
        return (time.time() - self.start) / self.args.seconds

    def say(self, *words):
        print(f'[{time.time() - self.start:5.1f} s]', *words, flush=True)

    def launch(self, job):
        job.deadline = self.start + job.end * self.args.seconds
        until = ['--work', str(self.args.work), '--until', f'{job.deadline - 5:.1f}']
        until = until[:2] if job.command[0] in ('sample.py', 'measure.py', 'compare.py') else until[2:] if job.command[0] == 'train_judge.py' else until
        judge = self.args.work / 'judge' if (self.args.work / 'judge/film.safetensors').exists() else HERE / 'judge/weights'
        command = [str(judge) if c == '{work}/judge' and job.command[0] == 'compare.py' else c.format(work=self.args.work) for c in job.command]
        log = open(self.args.work / f'logs/{job.name}.txt', 'ab')
        for rank in range(len(job.gpus)):
            env = dict(os.environ, RANK=str(rank), WORLD_SIZE=str(len(job.gpus)), MASTER_ADDR='127.0.0.1',
                       MASTER_PORT=str(29500 + self.jobs.index(job)), CUDA_VISIBLE_DEVICES=','.join(self.devices[g] for g in job.gpus),
                       OMP_NUM_THREADS='4', PYTHONUNBUFFERED='1', TORCHINDUCTOR_CACHE_DIR=str(self.args.work / 'inductor'))
            job.processes.append(subprocess.Popen(
                [sys.executable, str(HERE / command[0]), *command[1:], *until], env=env,
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True, cwd=HERE))
        job.state = 'running'
        self.say('begins', job.name, 'on', job.gpus, f'for {job.deadline - time.time():.0f} s')

    def stop(self, job, state):
        for kind in (signal.SIGTERM, signal.SIGKILL):
            for process in job.processes:
                if process.poll() is None:
                    os.killpg(process.pid, kind)
            if kind == signal.SIGTERM:
                time.sleep(.5)
        job.state = state
        self.say(state, job.name)
        if state != 'done':
            tail = (self.args.work / f'logs/{job.name}.txt').read_text(errors='replace')[-1500:]
            print('\n'.join('    ' + line for line in tail.splitlines()), flush=True)

    def watch(self, job):
        codes = [p.poll() for p in job.processes]
        if all(c == 0 for c in codes):
            job.state = 'done'
            self.say('done', job.name)
        elif any(c not in (0, None) for c in codes):
            self.stop(job, 'failed')
        elif time.time() > job.deadline + 6:
            self.stop(job, 'late')

    def ready(self, job):
        both = lambda j, name: name in j.name and name in job.name
        light = lambda j: j.name == 'text' or both(j, 'sheet') or both(j, '_few') and 'sheet' not in j.name + job.name
        busy = {g for j in self.jobs if j.state == 'running' and not light(j) and job.name != 'text' and not (j.beside and job.beside) for g in j.gpus}
        if self.extra and self.extra.poll() is None:
            busy.add(self.count - 1)
        over = {j.name: j.state not in ('waiting', 'running') for j in self.jobs}
        free = not busy & set(job.gpus)
        needed = all(over.get(n, True) for n in job.needs)
        return free and needed and self.now >= job.begin - (.5 if job.needs and job.end < .94 else .02)

    def collect(self):
        out = self.args.out
        for name in self.files:
            path = self.args.work / name
            if path.exists() and path.stat().st_size < 16 << 20:
                shutil.copyfile(path, out / path.name)
        with tarfile.open(out / 'small.tmp', 'w:gz') as tar:
            for folder in ('logs', 'sheets', 'tokenizer', 'judge/errors.json'):
                if (self.args.work / folder).exists():
                    tar.add(self.args.work / folder, folder)
        (out / 'small.tmp').rename(out / 'small.tar.gz')

    def begin_extra(self):
        """A command of somebody else's, on the last GPU at the beginning."""
        if self.args.extra and Path(self.args.extra).exists():
            env = dict(os.environ, CUDA_VISIBLE_DEVICES=self.devices[self.count - 1])
            log = open(self.args.out / 'cuda.log', 'wb')
            self.extra = subprocess.Popen(['timeout', '150', 'bash', self.args.extra], env=env, stdout=log, stderr=subprocess.STDOUT)

    def run(self):
        args = self.args
        for name in ('ckpt', 'logs', 'sheets', 'tokenizer'):
            (args.work / name).mkdir(parents=True, exist_ok=True)
        args.out.mkdir(parents=True, exist_ok=True)
        if args.state and args.state.exists():
            for path in args.state.rglob('*'):
                if path.is_file():
                    folder = 'tokenizer' if path.name == 'spiece.model' else 'ckpt'
                    target = args.work / folder / path.name
                    if not target.exists():
                        shutil.copyfile(path, target)
        before = {'refine': ('t2v', 't2v_few'), 'polish': ('t2v', 't2v_few'), 'match': ('i2v_high_few', 'i2v_low_few')}
        for name in before.get(args.part, ()):
            path = args.work / f'ckpt/{name}.pt'
            if path.exists() and not (args.part == 'match' and path.with_name(f'before_{name}.pt').exists()):
                shutil.copyfile(path, path.with_name(f'before_{name}.pt'))
        self.begin_extra()
        collected = time.time()
        self.say(f'{self.count} GPUs, {args.seconds:.0f} s')
        while any(j.state in ('waiting', 'running') for j in self.jobs) and self.now < 1.01:
            for job in self.jobs:
                if job.state == 'running':
                    self.watch(job)
            for job in self.jobs:
                if job.state == 'waiting' and self.ready(job):
                    if self.start + job.end * args.seconds - time.time() < 5:
                        job.state = 'left out'
                        self.say('left out', job.name)
                    else:
                        self.launch(job)
            if time.time() - collected > 30:
                collected = time.time()
                self.collect()
            time.sleep(.2)
        for job in self.jobs:
            if job.state == 'running':
                self.stop(job, 'late')
        if self.extra:
            try:
                self.extra.wait(max(0, min(150, args.seconds - (time.time() - self.start))))
            except subprocess.TimeoutExpired:
                self.extra.terminate()
        self.collect()
        print({j.name: j.state for j in self.jobs})
        for job in self.jobs:
            path = args.work / f'logs/{job.name}.txt'
            if path.exists():
                lines = [l for l in path.read_text(errors='replace').splitlines() if l.strip()]
                print(f'--- {job.name}', *lines[-(14 if job.name == "measure" else 3):], sep='\n')


if __name__ == '__main__':
    p = argparse.ArgumentParser()
    p.add_argument('part', choices=['first', 'second', 'third', 'fourth', 'refine', 'polish', 'match', 'trial', 'drill', 'student'])
    p.add_argument('--work', type=Path, required=True)
    p.add_argument('--out', type=Path, required=True)
    p.add_argument('--seconds', type=float, required=True)
    p.add_argument('--since', type=float, default=0., help='seconds of them that have gone already')
    p.add_argument('--state', type=Path)
    p.add_argument('--photos')
    p.add_argument('--gpus', type=int)
    p.add_argument('--extra', help='a script for the last GPU')
    p.add_argument('--films', type=int, help='of every comparison, to try things out')
    p.add_argument('--more', nargs=argparse.REMAINDER, default=[], help='for all transformer stages')
    arguments = p.parse_args()
    arguments.work, arguments.out = arguments.work.resolve(), arguments.out.resolve()
    if arguments.photos:
        arguments.photos = str(Path(arguments.photos).resolve())
    Chain(arguments).run()
