"""Makes the golden values of dit, dit_sla, vae, umt5, sampler, noise and pipeline in this folder.

A plain second implementation in PyTorch, float32 on a CPU, written from the published formulas and independent of the
Swift code. `verify DIR` runs it against a folder of reference values of the same form; `make` writes the files.

    python3 generate.py verify DIR
    python3 generate.py make
    python3 generate.py bf16
"""
import json, math, os, sys
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

torch.manual_seed(0)
HERE = os.path.dirname(os.path.abspath(__file__))


# --- transformer -----------------------------------------------------------------------------------------------------

def rms(x, w, eps=1e-6):
    return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + eps) * w


def sinusoid(t, n):
    half = n // 2
    a = t.double()[:, None] * 10000 ** (-torch.arange(half, dtype=torch.float64) / half)
    return torch.cat([a.cos(), a.sin()], 1).float()


def rotary(T, H, W, d):
    pairs = d // 2
    s = pairs // 3
    def axis(n, p):
        return torch.arange(n, dtype=torch.float64)[:, None] * 10000 ** (-2 * torch.arange(p, dtype=torch.float64) / (2 * p))
    t, h, w = axis(T, pairs - 2 * s), axis(H, s), axis(W, s)
    a = torch.cat([t[:, None, None].expand(T, H, W, -1), h[None, :, None].expand(T, H, W, -1),
                   w[None, None].expand(T, H, W, -1)], -1)
    return a.reshape(T * H * W, pairs)


def rotate(x, angles):  # [L, heads, d]
    y = torch.view_as_complex(x.double().reshape(*x.shape[:-1], -1, 2))
    y = y * torch.polar(torch.ones_like(angles), angles)[:, None]
    return torch.view_as_real(y).reshape(x.shape).float()


def attention(q, k, v):  # [L, heads, d]
    p = torch.einsum('qhd,khd->hqk', q, k) / math.sqrt(q.shape[-1])
    return torch.einsum('hqk,khd->qhd', p.softmax(-1), v)


def sla(q, k, v, w, b, topk, bq, bk):
    L, heads, d = q.shape
    nq, nk = -(-L // bq), -(-L // bk)
    n = min(nk, int(topk * nk))
    pool = lambda x, s, m: torch.stack([x[i * s:(i + 1) * s].mean(0) for i in range(m)])
    score = torch.einsum('qhd,khd->hqk', pool(q, bq, nq), pool(k - k.mean(0), bk, nk))
    chosen = score.topk(n, -1).indices.sort(-1).values  # heads, nq, n
    allowed = torch.zeros(heads, nq, nk, dtype=torch.bool).scatter_(-1, chosen, True)
    allowed = allowed.repeat_interleave(bq, 1)[:, :L].repeat_interleave(bk, 2)[:, :, :L]
    p = torch.einsum('qhd,khd->hqk', q, k) / math.sqrt(d)
    o = torch.einsum('hqk,khd->qhd', p.masked_fill(~allowed, -math.inf).softmax(-1), v)
    pq, pk = q.softmax(-1), k.softmax(-1)
    kv = torch.einsum('khd,khe->hde', pk, v)
    linear = torch.einsum('qhd,hde->qhe', pq, kv) / (1e-5 + torch.einsum('qhd,hd->qh', pq, pk.sum(0)))[..., None]
    gaps = score.sort(-1, descending=True).values
    gap = (gaps[..., n - 1] - gaps[..., n]).min() / score.std() if n < nk else torch.tensor(1.0)
    return o + linear @ w.T + b, chosen, gap.item()


def dit(W, c, x, t, text, sparse=None, trace=None):
    """x [C, T, H, W], t scalar tensor, text [512, text_dim] -> velocity [16, T, H, W]."""
    lin = lambda n, v: v @ W[n + '.weight'].float().reshape(W[n + '.weight'].shape[0], -1).T + W[n + '.bias'].float()
    f = lambda n: W[n].float()
    norm = lambda v: F.layer_norm(v, v.shape[-1:], eps=c['eps'])
    trace = {} if trace is None else trace
    C, T, H, Wd = x.shape
    h, w = H // 2, Wd // 2
    tokens = x.reshape(C, T, h, 2, w, 2).permute(1, 2, 4, 0, 3, 5).reshape(T * h * w, C * 4)
    s = lin('patch_embedding', tokens)
    e = lin('time_embedding.2', F.silu(lin('time_embedding.0', sinusoid(t.reshape(1), c['freq_dim']))))
    e0 = lin('time_projection.1', F.silu(e)).reshape(6, c['dim'])
    ctx = lin('text_embedding.2', F.gelu(lin('text_embedding.0', text.float()), approximate='tanh'))
    angles = rotary(T, h, w, c['dim'] // c['num_heads'])
    heads = lambda v: v.reshape(v.shape[0], c['num_heads'], -1)
    trace['blocks'], trace['gaps'] = [], []
    for i in range(c['num_layers']):
        p = f'blocks.{i}.'
        m = f(p + 'modulation')[0] + e0
        y = norm(s) * (1 + m[1]) + m[0]
        a = p + 'self_attn.'
        q, k = rms(lin(a + 'q', y), f(a + 'norm_q.weight')), rms(lin(a + 'k', y), f(a + 'norm_k.weight'))
        q, k, v = rotate(heads(q), angles), rotate(heads(k), angles), heads(lin(a + 'v', y))
        if sparse:
            b = a + 'attn_op.local_attn.proj_l.'
            o, chosen, gap = sla(q, k, v, f(b + 'weight'), f(b + 'bias'), sparse['topk'], sparse['BLKQ'], sparse['BLKK'])
            trace['blocks'].append(chosen)
            trace['gaps'].append(gap)
        else:
            o = attention(q, k, v)
        o = lin(a + 'o', o.flatten(1))
        trace[f'block{i}_self_attn'] = o
        s = s + m[2] * o
        y = F.layer_norm(s, s.shape[-1:], f(p + 'norm3.weight'), f(p + 'norm3.bias'), c['eps'])
        a = p + 'cross_attn.'
        q, k = rms(lin(a + 'q', y), f(a + 'norm_q.weight')), rms(lin(a + 'k', ctx), f(a + 'norm_k.weight'))
        o = lin(a + 'o', attention(heads(q), heads(k), heads(lin(a + 'v', ctx))).flatten(1))
        trace[f'block{i}_cross_attn'] = o
        s = s + o
        y = norm(s) * (1 + m[4]) + m[3]
        s = s + m[5] * lin(p + 'ffn.2', F.gelu(lin(p + 'ffn.0', y), approximate='tanh'))
        trace[f'block{i}'] = s
    m = f('head.modulation')[0] + e
    y = lin('head.head', norm(s) * (1 + m[1]) + m[0])
    return y.reshape(T, h, w, 1, 2, 2, 16).permute(6, 0, 3, 1, 4, 2, 5).reshape(16, T, H, Wd)


# --- text encoder ----------------------------------------------------------------------------------------------------

def bucket(rel, buckets=32, distance=128):
    half = buckets // 2
    n, exact = rel.abs(), half // 2
    large = exact + (torch.log(n.float() / exact) / math.log(distance / exact) * (half - exact)).long()
    return (rel > 0).long() * half + torch.where(n < exact, n, large.clamp(max=half - 1))


def umt5(W, c, ids):
    """True ids -> [n, d_model]."""
    f = lambda n: W[n].float()
    n = len(ids)
    x = f('token_embedding.weight')[ids]
    rel = torch.arange(n)[None] - torch.arange(n)[:, None]
    for i in range(c['num_layers']):
        p = f'blocks.{i}.'
        y = rms(x, f(p + 'norm1.weight'))
        q, k, v = [(y @ f(p + f'attn.{m}.weight').T).reshape(n, c['num_heads'], -1) for m in 'qkv']
        bias = f(p + 'pos_embedding.embedding.weight')[bucket(rel)].permute(2, 0, 1)
        a = (torch.einsum('qhd,khd->hqk', q, k) + bias).softmax(-1)
        x = x + torch.einsum('hqk,khd->qhd', a, v).flatten(1) @ f(p + 'attn.o.weight').T
        y = rms(x, f(p + 'norm2.weight'))
        g = F.gelu(y @ f(p + 'ffn.gate.0.weight').T, approximate='tanh')
        x = x + (g * (y @ f(p + 'ffn.fc1.weight').T)) @ f(p + 'ffn.fc2.weight').T
    return rms(x, f('norm.weight'))


# --- VAE: whole clips at once, which is what the streaming forms must equal ------------------------------------------

MEAN = [-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508, 0.4134, -0.0715, 0.5517, -0.3632, -0.1922,
        -0.9497, 0.2503, -0.2921]
STD = [2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743, 3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253,
       2.8251, 1.916]


class VAE:
    """In float32, or in bf16 throughout as the published program runs it."""
    def __init__(self, W, c, dtype=torch.float32):
        self.W, self.c, self.dtype = W, c, dtype

    def take(self, n):
        return self.W[n + '.weight'].to(self.dtype), self.W[n + '.bias'].to(self.dtype)

    def conv(self, n, x, stride=1, pad=1):
        """Causal in time: zeros in front."""
        w, b = self.take(n)
        kt, kh = w.shape[2], w.shape[3]
        x = F.pad(x, (kh // 2, kh // 2, kh // 2, kh // 2, kt - 1, 0))
        return F.conv3d(x[None], w, b, stride=(stride, 1, 1))[0]

    def norm(self, n, x):
        g = self.W[n + '.gamma'].to(self.dtype).reshape(-1, 1, 1, 1)
        return F.normalize(x, dim=0) * math.sqrt(x.shape[0]) * g

    def residual(self, n, x):
        h = self.conv(n + '.residual.2', F.silu(self.norm(n + '.residual.0', x)))
        h = self.conv(n + '.residual.6', F.silu(self.norm(n + '.residual.3', h)))
        return h + (self.conv(n + '.shortcut', x) if n + '.shortcut.weight' in self.W else x)

    def attend(self, n, x):
        C, T, H, Wd = x.shape
        y = self.norm(n + '.norm', x).permute(1, 0, 2, 3)
        q, k, v = F.conv2d(y, *self.take(n + '.to_qkv')).reshape(T, 3, C, H * Wd).permute(1, 0, 3, 2)
        o = (q.float() @ k.float().transpose(1, 2) / math.sqrt(C)).softmax(-1).to(self.dtype) @ v
        o = F.conv2d(o.permute(0, 2, 1).reshape(T, C, H, Wd), *self.take(n + '.proj'))
        return x + o.permute(1, 0, 2, 3)

    def middle(self, n, x):
        return self.residual(n + '.2', self.attend(n + '.1', self.residual(n + '.0', x)))

    def conv2d(self, n, x, **kw):
        w, b = self.take(n)
        return F.conv2d(x.permute(1, 0, 2, 3), w, b, **kw).permute(1, 0, 2, 3)

    def encode(self, video):
        x, m = self.conv('encoder.conv1', video.to(self.dtype)), 0
        for level in range(len(self.c['dim_mult'])):
            for _ in range(self.c['num_res_blocks']):
                x, m = self.residual(f'encoder.downsamples.{m}', x), m + 1
            if level < len(self.c['temperal_downsample']):
                n = f'encoder.downsamples.{m}'
                m += 1
                x = self.conv2d(n + '.resample.1', F.pad(x, (0, 1, 0, 1)), stride=2)
                if self.c['temperal_downsample'][level]:
                    w, b = self.take(n + '.time_conv')
                    rest = F.conv3d(x[None], w, b, stride=(2, 1, 1))[0] if x.shape[1] > 2 else x[:, :0]
                    x = torch.cat([x[:, :1], rest], 1)
        x = self.middle('encoder.middle', x)
        x = self.conv('encoder.head.2', F.silu(self.norm('encoder.head.0', x)))
        mu = self.conv('conv1', x)[:self.c['z_dim']].float()
        shape = (-1, 1, 1, 1)
        return (mu - torch.tensor(MEAN).reshape(shape)) * (1 / torch.tensor(STD)).reshape(shape)

    def decode(self, z):
        shape = (-1, 1, 1, 1)
        z = z / (1 / torch.tensor(STD)).reshape(shape) + torch.tensor(MEAN).reshape(shape)
        z = z.to(self.dtype)
        x, m = self.middle('decoder.middle', self.conv('decoder.conv1', self.conv('conv2', z))), 0
        doubles = self.c['temperal_downsample'][::-1]
        for level in range(len(self.c['dim_mult'])):
            for _ in range(self.c['num_res_blocks'] + 1):
                x, m = self.residual(f'decoder.upsamples.{m}', x), m + 1
            if level < len(doubles):
                n = f'decoder.upsamples.{m}'
                m += 1
                if doubles[level] and x.shape[1] > 1:
                    C = x.shape[0]
                    w, b = self.take(n + '.time_conv')
                    y = F.conv3d(F.pad(x[:, 1:], (0, 0, 0, 0, 2, 0))[None], w, b)[0]
                    y = torch.stack([y[:C], y[C:]], 2).flatten(1, 2)
                    x = torch.cat([x[:, :1], y], 1)
                x = self.conv2d(n + '.resample.1', x.repeat_interleave(2, 2).repeat_interleave(2, 3), padding=1)
        return self.conv('decoder.head.2', F.silu(self.norm('decoder.head.0', x))).float()


def to_uint8(video):
    return torch.floor((1 + video.clamp(-1, 1)) / 2 * 255 + 0.5).to(torch.uint8)


# --- sampling --------------------------------------------------------------------------------------------------------

def times(steps, sigma):
    a = torch.tensor([math.atan(sigma), 1.5, 1.4, 1.0][:steps] + [0.0], dtype=torch.float64)
    return a, torch.sin(a) / (torch.cos(a) + torch.sin(a))


def step(kind, x, v, t, tn, noise):
    if kind == 'SDE':
        return (1 - tn) * (x - t * v.double()) + tn * noise  # the product with a float32 tensor is float32
    return x - (t - tn) * v.double()


def philox(counter, key):
    c, k, M = list(counter), list(key), 0xFFFFFFFF
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & M, (a >> 32) ^ c[3] ^ k[1], a & M]
        k = [(k[0] + 0x9E3779B9) & M, (k[1] + 0xBB67AE85) & M]
    return c


def cuda_noise(seed, n, offset):
    """One value a thread: exact below the size at which the GPU matters. Returns values and the next offset."""
    f32, out = torch.float32, []
    for i in range(n):
        x, y, _, _ = philox([offset // 4, 0, i, 0], [seed & 0xFFFFFFFF, seed >> 32])
        u = torch.tensor(float(x), dtype=f32) * 2.3283064e-10 + 1.1641532e-10
        v = torch.tensor(float(y), dtype=f32) * torch.tensor(2.3283064e-10 * 6.2831855, dtype=f32) + 7.314590e-10
        out.append(torch.sqrt(-2 * torch.log(u)) * torch.sin(v))
    return torch.stack(out), offset + 4


# --- verify ----------------------------------------------------------------------------------------------------------

def rel(a, b):
    return ((a.double() - b.double()).norm() / b.double().norm()).item()


def verify(ref):
    """Prints how far this implementation is from another's values."""
    load = lambda *p: load_file(os.path.join(ref, *p))
    cases = lambda k: json.load(open(os.path.join(ref, k, 'cases.json')))
    for kind in ['dit', 'dit_sla']:
        for c in cases(kind)['cases']:
            W, d = load(kind, c['weights']), load(kind, c['file'])
            if 'extra_weights' in c:
                W.update(load(kind, c['extra_weights']))
            x = torch.cat([d['x'], d['y']], 1) if 'y' in d else d['x']
            y = torch.stack([dit(W, c['config'], x[i], d['t'][i], d['crossattn_emb'][i], c.get('sla')) for i in range(len(x))])
            print(kind, c['name'], rel(y, d['expected']))
    root = cases('vae')
    for c in root['cases']:
        v, d = VAE(load('vae', c['weights']), root['config']), load('vae', c['file'])
        if c['op'] == 'decode':
            print('vae', c['name'], rel(v.decode(d['latent'][0]), d['expected'][0]))
        else:
            x = d['video'][0] if 'video' in d else F.pad(d['image'][0], (0, 0, 0, 0, 0, c['frames'] - 1))
            print('vae', c['name'], rel(v.encode(x), d['expected'][0]))
    root = cases('umt5')
    for c in root['cases']:
        if 'weights' in c:
            W, d = load('umt5', c['weights'][0]), load('umt5', c['file'])
            n = c['true_lengths'][0]
            print('umt5', c['name'], rel(umt5(W, root['config'], d['ids'][0, :n].long()), d['expected'][0, :n]))
    d = load('umt5', 'buckets.safetensors')
    print('umt5 buckets equal', torch.equal(bucket(d['relative_position']), d['bucket'].long()))
    for c in cases('sampler')['cases']:
        d = load('sampler', c['file'])
        _, t = times(c['num_steps'], c['sigma_max'])
        for kind in ['SDE', 'ODE']:
            x = d['init_noise'].double() * t[0]
            for i in range(c['num_steps']):
                x = step(kind, x, d[f'v{i}'], t[i], t[i + 1], d[f'noise{i}'])
            print('sampler', c['name'], kind, rel(x, d[f'{kind.lower()}_x{c["num_steps"]}']))
    for c in cases('noise')['cases']:
        if c['device'] == 'cuda' and c['numel'] <= 4000:
            d, offset = load('noise', c['file']), 0
            for name in c['expected']:
                y, offset = cuda_noise(c['seed'], c['numel'], offset)
                print('noise', c['name'], name, (y - d[name]).abs().max().item())
    for c in cases('pipeline')['cases']:
        if 'image' in c:
            d = load('pipeline', c['file'])
            text = torch.zeros(512, c['dit_config']['text_dim'])
            text[:d['text_embedding'].shape[1]] = d['text_embedding'][0]
            W = {'high': load('pipeline', c['dit_high']), 'low': load('pipeline', c['dit_low'])}
            z, _ = run(c, W, text, d['y'][0], d['init_noise'][0], [d[f'noise{i}'][0] for i in range(c['num_steps'])]
                       if c['sampler'] == 'SDE' else None)
            print('pipeline', c['name'], rel(z, d['latents'][0]))


def run(c, W, text, y, noise0, noises):
    """All steps of a two-expert run; latents and what happened on the way."""
    _, t = times(c['num_steps'], c['sigma_max'])
    x, which, trace = noise0.double() * t[0], 'high', {}
    for i in range(c['num_steps']):
        if t[i] < c['boundary']:
            which = 'low'
        timestep = (t[i].float() * 1000).bfloat16().float()
        v = dit(W[which], c['dit_config'], torch.cat([x.float(), y]), timestep, text)
        x = step(c['sampler'], x, v, t[i], t[i + 1], noises[i] if noises else None)
        trace[f'v{i}'], trace[f'x{i + 1}'] = v[None], x.float()[None]
    return x.float(), trace


# --- make ------------------------------------------------------------------------------------------------------------

def normal(*shape, fan=None, mean=0.0, scale=1.0):
    return (mean + scale * torch.randn(*shape) / math.sqrt(fan or 1)).bfloat16()


def dit_weights(c):
    W, d = {}, c['dim']
    def linear(n, i, o):
        W[n + '.weight'], W[n + '.bias'] = normal(o, i, fan=i), normal(o, scale=0.1)
    linear('patch_embedding', c['in_dim'] * 4, d)
    linear('text_embedding.0', c['text_dim'], d)
    linear('text_embedding.2', d, d)
    linear('time_embedding.0', c['freq_dim'], d)
    linear('time_embedding.2', d, d)
    linear('time_projection.1', d, 6 * d)
    linear('head.head', d, 64)
    W['head.modulation'] = normal(1, 2, d, scale=0.3)
    for i in range(c['num_layers']):
        p = f'blocks.{i}.'
        W[p + 'modulation'] = normal(1, 6, d, scale=0.5)
        for a in ['self_attn.', 'cross_attn.']:
            for m in 'qkvo':
                linear(p + a + m, d, d)
            W[p + a + 'norm_q.weight'] = normal(d, mean=1.5, scale=0.2)
            W[p + a + 'norm_k.weight'] = normal(d, mean=1.5, scale=0.2)
        W[p + 'norm3.weight'], W[p + 'norm3.bias'] = normal(d, mean=1, scale=0.2), normal(d, scale=0.2)
        linear(p + 'ffn.0', d, c['ffn_dim'])
        linear(p + 'ffn.2', c['ffn_dim'], d)
    return W


def vae_weights(c):
    W, z = {}, c['z_dim']
    def conv(n, i, o, *k):
        W[n + '.weight'], W[n + '.bias'] = normal(o, i, *k, fan=i * math.prod(k), scale=1.2), normal(o, scale=0.1)
    def gamma(n, ch, *ones):
        W[n + '.gamma'] = normal(ch, *ones, mean=1, scale=0.1)
    def residual(n, i, o):
        gamma(n + '.residual.0', i, 1, 1, 1)
        conv(n + '.residual.2', i, o, 3, 3, 3)
        gamma(n + '.residual.3', o, 1, 1, 1)
        conv(n + '.residual.6', o, o, 3, 3, 3)
        if i != o:
            conv(n + '.shortcut', i, o, 1, 1, 1)
    def middle(n, ch):
        residual(n + '.0', ch, ch)
        residual(n + '.2', ch, ch)
        gamma(n + '.1.norm', ch, 1, 1)
        conv(n + '.1.to_qkv', ch, 3 * ch, 1, 1)
        conv(n + '.1.proj', ch, ch, 1, 1)
    dims = [c['dim'] * m for m in [1] + c['dim_mult']]
    conv('encoder.conv1', 3, dims[0], 3, 3, 3)
    m = 0
    for level in range(len(c['dim_mult'])):
        for b in range(c['num_res_blocks']):
            residual(f'encoder.downsamples.{m}', dims[level] if b == 0 else dims[level + 1], dims[level + 1])
            m += 1
        if level < len(c['temperal_downsample']):
            n = f'encoder.downsamples.{m}'
            conv(n + '.resample.1', dims[level + 1], dims[level + 1], 3, 3)
            if c['temperal_downsample'][level]:
                conv(n + '.time_conv', dims[level + 1], dims[level + 1], 3, 1, 1)
            m += 1
    middle('encoder.middle', dims[-1])
    gamma('encoder.head.0', dims[-1], 1, 1, 1)
    conv('encoder.head.2', dims[-1], 2 * z, 3, 3, 3)
    conv('conv1', 2 * z, 2 * z, 1, 1, 1)
    conv('conv2', z, z, 1, 1, 1)
    dims = [c['dim'] * m for m in [c['dim_mult'][-1]] + c['dim_mult'][::-1]]
    conv('decoder.conv1', z, dims[0], 3, 3, 3)
    middle('decoder.middle', dims[0])
    m = 0
    for level in range(len(c['dim_mult'])):
        entry = dims[0] if level == 0 else dims[level] // 2
        for b in range(c['num_res_blocks'] + 1):
            residual(f'decoder.upsamples.{m}', entry if b == 0 else dims[level + 1], dims[level + 1])
            m += 1
        if level < len(c['temperal_downsample']):
            n, ch = f'decoder.upsamples.{m}', dims[level + 1]
            conv(n + '.resample.1', ch, ch // 2, 3, 3)
            if c['temperal_downsample'][::-1][level]:
                conv(n + '.time_conv', ch, 2 * ch, 3, 1, 1)
            m += 1
    gamma('decoder.head.0', dims[-1], 1, 1, 1)
    conv('decoder.head.2', dims[-1], 3, 3, 3, 3)
    W['decoder.head.2.weight'] = (W['decoder.head.2.weight'].float() * 0.5).bfloat16()
    return W


def umt5_weights(c):
    W, d, inner = {'norm.weight': normal(c['d_model'], mean=1, scale=0.1)}, c['d_model'], c['d_kv'] * c['num_heads']
    W['token_embedding.weight'] = normal(c['vocab_size'], d)
    for i in range(c['num_layers']):
        p = f'blocks.{i}.'
        W[p + 'norm1.weight'], W[p + 'norm2.weight'] = normal(d, mean=1, scale=0.1), normal(d, mean=1, scale=0.1)
        for m in 'qkv':
            W[p + f'attn.{m}.weight'] = normal(inner, d, fan=d, scale=0.6)
        W[p + 'attn.o.weight'] = normal(d, inner, fan=inner)
        W[p + 'ffn.gate.0.weight'], W[p + 'ffn.fc1.weight'] = normal(c['d_ff'], d, fan=d), normal(c['d_ff'], d, fan=d)
        W[p + 'ffn.fc2.weight'] = normal(d, c['d_ff'], fan=c['d_ff'])
        W[p + 'pos_embedding.embedding.weight'] = normal(c['relative_attention_num_buckets'], c['num_heads'])
    return W


def write(kind, name, tensors):
    os.makedirs(os.path.join(HERE, kind), exist_ok=True)
    save_file({k: v.contiguous() for k, v in tensors.items()}, os.path.join(HERE, kind, name + '.safetensors'))
    return name + '.safetensors'


def cases(kind, **content):
    with open(os.path.join(HERE, kind, 'cases.json'), 'w') as f:
        json.dump({'section': kind, **content}, f, indent=1, ensure_ascii=False)
        f.write('\n')


def text_rows(n, dim):
    t = torch.zeros(1, 512, dim)
    t[0, :n] = torch.randn(n, dim)
    return t.bfloat16()


def make():
    t2v_file = '../checkpoints/sharded/diffusion_pytorch_model.safetensors.index.json'
    t2v = json.load(open(os.path.join(HERE, 'checkpoints', 'cases.json')))['config']
    T2V = {}
    for shard in sorted(os.listdir(os.path.join(HERE, 'checkpoints', 'sharded'))):
        if shard.endswith('.safetensors'):
            T2V.update(load_file(os.path.join(HERE, 'checkpoints', 'sharded', shard)))
    i2v = dict(t2v, model_type='i2v', in_dim=36, dim=128, num_heads=1, ffn_dim=40, num_layers=1, text_dim=24, freq_dim=48)
    high, low = dit_weights(i2v), dit_weights(i2v)

    # dit
    files, entries = {}, []
    write('dit', 'i2v_weights', high)
    for name, W, c, path, shape, n, t in [
            ('t2v_one_frame', T2V, t2v, t2v_file, (1, 6, 4), 5, 500.0),
            ('t2v_long_text', T2V, t2v, t2v_file, (3, 4, 10), 512, 987.6543),
            ('i2v', high, i2v, 'i2v_weights.safetensors', (2, 6, 14), 33, 852.0)]:
        x, text = torch.randn(1, 16, *shape), text_rows(n, c['text_dim'])
        tensors = {'x': x, 't': torch.tensor([t]), 'crossattn_emb': text}
        if c is i2v:
            tensors['y'] = torch.randn(1, 20, *shape)
        trace = {}
        full = torch.cat([x, tensors['y']], 1) if c is i2v else x
        tensors['expected'] = dit(W, c, full[0], torch.tensor(t), text[0], trace=trace)[None]
        entry = {'name': name, 'weights': path, 'config': c, 'file': write('dit', name, tensors), 'text_lengths': [n],
                 'timesteps': [t], 'latent': list(shape), 'tol_f32': 5e-5, 'tol_bf16': 0.02}
        if name == 'i2v':
            keep = {k: v[None] for k, v in trace.items() if k.endswith('_attn')}
            entry['intermediates'] = {'file': write('dit', name + '_intermediates', keep)}
        entries.append(entry)
    cases('dit', cases=entries)

    # dit_sla
    branch = {}
    for i in range(i2v['num_layers']):
        p = f'blocks.{i}.self_attn.attn_op.local_attn.proj_l.'
        branch[p + 'weight'], branch[p + 'bias'] = normal(128, 128, fan=128), normal(128, scale=0.1)
    sparse = {'topk': 0.5, 'BLKQ': 128, 'BLKK': 64}
    shape = (2, 14, 22)
    while True:  # a clear choice of blocks, so that rounding does not decide it
        x, y, text = torch.randn(1, 16, *shape), torch.randn(1, 20, *shape), text_rows(9, i2v['text_dim'])
        trace = {}
        out = dit({**high, **branch}, i2v, torch.cat([x, y], 1)[0], torch.tensor(932.0), text[0], sparse, trace)
        if min(trace['gaps']) > 0.02:
            break
    tensors = {'x': x, 'y': y, 't': torch.tensor([932.0]), 'crossattn_emb': text, 'expected': out[None]}
    for i, chosen in enumerate(trace['blocks']):
        tensors[f'block_index_layer{i}'] = chosen[None].int()
    cases('dit_sla', cases=[{
        'name': 'i2v_sla', 'weights': '../dit/i2v_weights.safetensors', 'extra_weights': write('dit_sla', 'proj_l', branch),
        'config': i2v, 'file': write('dit_sla', 'i2v_sla', tensors), 'sla': sparse, 'tol_f32': 1e-4, 'tol_bf16': 0.08}])

    # vae
    vc = {'dim': 2, 'z_dim': 16, 'dim_mult': [1, 2, 4, 4], 'num_res_blocks': 2, 'attn_scales': [],
          'temperal_downsample': [False, True, True]}
    vw = vae_weights(vc)
    vae = VAE(vw, vc)
    weights = write('vae', 'vae_weights', vw)
    entries = []
    for name, frames, (h, w), video in [('enc_image', 9, (16, 40), False), ('enc_video', 5, (24, 16), True)]:
        x = torch.rand(3, frames if video else 1, h, w) * 2 - 1
        full = x if video else F.pad(x, (0, 0, 0, 0, 0, frames - 1))
        file = write('vae', name, {'video' if video else 'image': x[None], 'expected': vae.encode(full)[None]})
        entries.append({'name': name, 'op': 'encode', 'weights': weights, 'file': file, 'frames': frames,
                        'size_hw': [h, w], 'tol_f32': 1e-4, 'tol_bf16': 0.05})
    for name, shape in [('dec_one', (1, 3, 5)), ('dec_three', (3, 2, 3))]:
        z = torch.randn(16, *shape)
        v = vae.decode(z)
        file = write('vae', name, {'latent': z[None], 'expected': v[None], 'uint8': to_uint8(v)[None]})
        entries.append({'name': name, 'op': 'decode', 'weights': weights, 'file': file, 'tol_f32': 1e-4, 'tol_bf16': 0.05})
    cases('vae', config=vc, latents_mean=MEAN, latents_std=STD, cases=entries)

    # umt5, with the vocabulary of tokenizer/a and a prompt of its cases
    uc = {'vocab_size': 4304, 'd_model': 24, 'd_kv': 8, 'num_heads': 3, 'num_layers': 2, 'd_ff': 40,
          'relative_attention_num_buckets': 32, 'relative_attention_max_distance': 128, 'eps': 1e-6}
    uw = umt5_weights(uc)
    weights = write('umt5', 'umt5', uw)
    entries = []
    for n in [1, 70]:
        ids = torch.zeros(1, 512, dtype=torch.int32)
        ids[0, :n] = torch.randint(4, 4300, (n,))
        ids[0, n - 1] = 1
        file = write('umt5', f'len_{n}', {'ids': ids, 'mask': (torch.arange(512) < n).int()[None],
                                          'expected': umt5(uw, uc, ids[0, :n].long())[None]})
        entries.append({'name': f'len_{n}', 'weights': [weights], 'file': file, 'true_lengths': [n], 'tol_f32': 2e-5,
                        'tol_bf16': 0.08})
    r = torch.arange(-200, 201)
    file = write('umt5', 'buckets', {'relative_position': r.int(), 'bucket': bucket(r).int()})
    entries.append({'name': 'relative_position_buckets', 'file': file, 'tolerance': 'exact'})
    cases('umt5', config=uc, cases=entries)

    # sampler
    schedule = []
    for steps in range(1, 5):
        a, t = times(steps, 80)
        schedule.append({'num_steps': steps, 'sigma_max': 80, 'trigflow': a.tolist(), 't_steps': t.tolist(),
                         'net_timestep': (t[:-1].float().double() * 1000).tolist(),
                         'net_timestep_bf16': (t[:-1].float() * 1000).bfloat16().double().tolist(),
                         'expert_boundary_0_9': ['high' if v >= 0.9 else 'low' for v in t[:-1]]})
    entries = []
    for steps, sigma in [(4, 80), (3, 200)]:
        _, t = times(steps, sigma)
        d = {'init_noise': torch.randn(1, 16, 1, 2, 3)}
        for i in range(steps):
            d[f'v{i}'], d[f'noise{i}'] = torch.randn(1, 16, 1, 2, 3), torch.randn(1, 16, 1, 2, 3)
        for kind in ['SDE', 'ODE']:
            x, k = d['init_noise'].double() * t[0], kind.lower()
            d[f'{k}_x0'] = x
            for i in range(steps):
                x = step(kind, x, d[f'v{i}'], t[i], t[i + 1], d[f'noise{i}'])
                d[f'{k}_x{i + 1}'] = x
            d[f'{k}_sample'] = x.float()
        name = f'{steps}_steps_sigma_{sigma}'
        entries.append({'name': name, 'file': write('sampler', name, d), 'num_steps': steps, 'sigma_max': sigma,
                        'tolerance': 'rel L2 1e-7'})
    cases('sampler', schedule=schedule, cases=entries)

    # noise: torch's own CPU generator, and Philox where the GPU does not matter
    entries = []
    for seed, n in [(3, 9), (2**35 + 11, 50)]:
        g = torch.Generator().manual_seed(seed)
        name = f'cpu_{n}'
        file = write('noise', name, {'first': torch.randn(n, generator=g), 'second': torch.randn(n, generator=g)})
        entries.append({'name': name, 'device': 'cpu', 'generator': 'mt19937', 'seed': seed, 'shape': [n], 'file': file,
                        'expected': ['first', 'second'], 'tol_abs': 2e-6})
    first, offset = cuda_noise(77, 300, 0)
    second, _ = cuda_noise(77, 300, offset)
    entries.append({'name': 'cuda_300', 'device': 'cuda', 'generator': 'Philox4x32-10', 'seed': 77, 'numel': 300,
                    'sm_count': 132, 'max_threads_per_sm': 2048, 'threads_T': 512, 'philox_offset_after_first': 4,
                    'sampled': False, 'file': write('noise', 'cuda_300', {'first': first, 'second': second}),
                    'expected': ['first', 'second'], 'tol_abs': 2e-5})
    known = [{'counter': c, 'key': k, 'out': philox(c, k)} for c, k in
             [([0] * 4, [0] * 2), ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2),
              ([0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], [0xA4093822, 0x299F31D0])]]
    cases('noise', philox_known_answers=known, cases=entries)

    # pipeline: a picture, both experts, SDE and ODE
    write('pipeline', 'low_weights', low)
    prompt = next(c for c in json.load(open(os.path.join(HERE, 'tokenizer', 'cases_a.json')))['cases']
                  if c['category'] == 'english')
    rows = umt5(uw, uc, torch.tensor(prompt['ids']))
    text = torch.zeros(512, uc['d_model'])
    text[:len(rows)] = rows
    image = load_file(os.path.join(HERE, 'image', 'expected_rgb_png.safetensors'))['normalized']
    _, H, Wd = image.shape
    entries = []
    for name, kind, steps, seed in [('i2v_sde', 'SDE', 4, 0), ('i2v_ode', 'ODE', 2, 9)]:
        shape = (3, H // 8, Wd // 8)
        cond = vae.encode(F.pad(image[:, None], (0, 0, 0, 0, 0, 8)))
        mask = torch.zeros(4, *shape)
        mask[:, 0] = 1
        y = torch.cat([mask, cond])
        offset, drawn = 0, []
        for _ in range(steps + 1 if kind == 'SDE' else 1):
            n, offset = cuda_noise(seed, 16 * math.prod(shape), offset)
            drawn.append(n.reshape(16, *shape))
        c = {'name': name, 'prompt': prompt['text'], 'image': '../image/inputs/rgb.png', 'tokenizer': '../tokenizer/a',
             'umt5': '../umt5/umt5.safetensors', 'umt5_config': uc, 'dit_high': '../dit/i2v_weights.safetensors',
             'dit_low': 'low_weights.safetensors', 'dit_config': i2v, 'vae': '../vae/vae_weights.safetensors',
             'num_frames': 9, 'size_wh': [Wd, H], 'latent': list(shape), 'num_steps': steps, 'sigma_max': 200,
             'boundary': 0.9, 'seed': seed, 'sampler': kind}
        z, trace = run(c, {'high': high, 'low': low}, text, y, drawn[0], drawn[1:] if kind == 'SDE' else None)
        t = times(steps, 200)[1][:-1]
        video = vae.decode(z)
        tensors = {'ids': torch.tensor(prompt['ids'], dtype=torch.int32), 'text_embedding': rows[None], 'y': y[None],
                   'init_noise': drawn[0][None], 'latents': z[None]}
        tensors.update({'frames': to_uint8(video).permute(1, 2, 3, 0), **trace} if kind == 'SDE' else {})
        entries.append({**c, 'file': write('pipeline', name, tensors),
                        'net_timesteps': (t.float() * 1000).bfloat16().double().tolist(),
                        'experts': ['high' if v >= 0.9 else 'low' for v in t],
                        'tolerance': {'latents_rel_l2_f32': 2e-4, 'video_rel_l2_f32': 5e-4, 'uint8_max_abs': 1,
                                      'latents_rel_l2_bf16': 0.02, 'frames_psnr_db_bf16': 40}})
    cases('pipeline', cases=entries)


def bf16():
    """Writes beside each VAE and pipeline case what PyTorch itself loses on it in bf16 (CPU kernels, sums in float32), and
    as the engine's tolerance half as much again; of a whole run the frames may be as far away as PyTorch's are."""
    load = lambda kind, file: load_file(os.path.normpath(os.path.join(HERE, kind, file)))
    read = lambda kind: json.load(open(os.path.join(HERE, kind, 'cases.json')))
    digits = lambda x: float(f'{x:.2g}')
    root = read('vae')
    vae = lambda dtype: VAE(load('vae', 'vae_weights.safetensors'), root['config'], dtype)
    for c in root['cases']:
        v, d = vae(torch.bfloat16), load('vae', c['file'])
        x = d['video'][0] if 'video' in d else F.pad(d['image'][0], (0, 0, 0, 0, 0, c['frames'] - 1)) if 'image' in d else None
        lost = rel(v.encode(x) if c['op'] == 'encode' else v.decode(d['latent'][0]), d['expected'][0])
        c['torch_bf16_rel_l2'], c['tol_bf16'] = digits(lost), digits(1.5 * lost)
    json.dump(root, open(os.path.join(HERE, 'vae', 'cases.json'), 'w'), indent=1)
    runs = read('pipeline')
    image = load('image', 'expected_rgb_png.safetensors')['normalized']
    for c in runs['cases']:
        d, v = load('pipeline', c['file']), vae(torch.bfloat16)
        y = d['y'][0].clone()
        y[4:] = v.encode(F.pad(image[:, None], (0, 0, 0, 0, 0, 8)))
        lost = rel(y, d['y'][0])
        c['tolerance'].update(torch_bf16_y_rel_l2=digits(lost), y_rel_l2_bf16=digits(1.5 * lost))
        if 'frames' in d:
            text = torch.zeros(512, c['dit_config']['text_dim'])
            text[:d['text_embedding'].shape[1]] = d['text_embedding'][0]
            offset, drawn = 0, []
            for _ in range(c['num_steps'] + 1):
                n, offset = cuda_noise(c['seed'], y[0:16].numel(), offset)
                drawn.append(n.reshape(16, *y.shape[1:]))
            W = {'high': load('pipeline', c['dit_high']), 'low': load('pipeline', c['dit_low'])}
            with torch.autocast('cpu', torch.bfloat16):
                z, _ = run(c, W, text, y, drawn[0], drawn[1:])
            frames = to_uint8(v.decode(z.float())).permute(1, 2, 3, 0).double()
            c['tolerance']['frames_psnr_db_bf16'] = int(10 * math.log10(255**2 / (frames - d['frames']).square().mean()))
    json.dump(runs, open(os.path.join(HERE, 'pipeline', 'cases.json'), 'w'), indent=1)


if __name__ == '__main__':
    with torch.no_grad():
        {'verify': lambda: verify(sys.argv[2]), 'make': make, 'bf16': bf16}[sys.argv[1]]()
