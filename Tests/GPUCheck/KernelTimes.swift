import CUDABackend
import Foundation
import Tensors

/// Medians of event times of single operations, at the sizes of the 1.3B model at 480p and its VAE.
struct KernelTimes {
    private let backend: CUDABackend

    init(_ backend: CUDABackend) { self.backend = backend }

    private func random(_ shape: [Int], _ dtype: DType? = nil) throws -> Tensor {
        // A short run of normal-like values, repeated: enough not to be zeros.
        let count = shape.reduce(1, *)
        let piece = (0..<8191).map { (i: Int) -> Float in
            let a = Float((i &* 7919 &+ 13) % 4093) / 4093 - 0.5
            let b = Float((i &* 104_729 &+ 7) % 6029) / 6029 - 0.5
            return 2 * (a + b)
        }
        var values = [Float](repeating: 0, count: count)
        for i in 0..<count { values[i] = piece[i % 8191] }
        return try backend.upload(HostTensor(shape: shape, values: values), as: dtype ?? backend.activationType)
    }

    private func weights(_ count: Int) -> [Float] {
        (0..<count).map { (i: Int) -> Float in Float((i &* 7919 &+ 13) % 4093) / 40930 - 0.05 }
    }

    private func report(_ what: String, _ operations: Double, _ bytes: Double, _ body: () -> Void) throws {
        body()
        var times: [Double] = []
        for _ in 0..<7 { times.append(try backend.time { body() }) }
        times.sort()
        let median = times[3]
        var line = String(format: "%9.3f ms (%.3f to %.3f)  ", median, times[0], times[6]) + what
        if operations > 0 { line += String(format: ", %.0f TFLOP/s", operations / median * 1e-9) }
        if bytes > 0 { line += String(format: ", %.0f GB/s", bytes / median * 1e-6) }
        say(line)
    }

    func run(_ only: String) throws {
        say(backend.deviceDescription)
        let (tokens, dim, hidden, heads) = (32760, 1536, 8960, 12)
        let x = try random([tokens, dim])
        let y = try random([tokens, dim])
        let gate = try random([dim], .f32)
        let hiddenRows = try random([tokens, hidden])
        func layer(_ output: Int, _ input: Int, _ precision: LinearPrecision = .stored) throws -> any Linear {
            let values = weights(output * input)
            return try backend.makeLinear(
                .dense(
                    weight: HostTensor(shape: [output, input], values: values),
                    bias: HostTensor(shape: [output], values: Array(values[0..<output]))), precision: precision)
        }
        if only.isEmpty || only == "linear" {
            let (square, up, down) = (try layer(dim, dim), try layer(hidden, dim), try layer(dim, hidden))
            let unit = 2.0 * Double(tokens) * Double(dim)
            try report("linear 1536 -> 1536", unit * Double(dim), 0) { backend.linear(x, square, into: y, .none) }
            try report("linear 1536 -> 8960, GELU", unit * Double(hidden), 0) {
                backend.linear(x, up, into: hiddenRows, .activation(.geluTanh))
            }
            try report("linear 8960 -> 1536, gated", unit * Double(hidden), 0) {
                backend.linear(hiddenRows, down, into: y, .gated(gate))
            }
            let up8 = try layer(hidden, dim, .int8)
            try report("int8 linear 1536 -> 8960, GELU", unit * Double(hidden), 0) {
                backend.linear(x, up8, into: hiddenRows, .activation(.geluTanh))
            }
        }
        if only.isEmpty || only == "norms" {
            let bytes = Double(tokens * dim * 4)
            try report("modulated norm", 0, bytes) {
                backend.modulatedNorm(x, shift: gate, scale: gate, epsilon: 1e-6, into: y)
            }
            try report("rms norm", 0, bytes) { backend.rmsNorm(x, weight: gate, epsilon: 1e-6, into: y) }
            let table = try random([tokens, 64, 2], .f32)
            try report("RoPE", 0, bytes) { backend.rotate(y.reshaped([tokens, heads, 128]), table: table) }
            try report("add gated", 0, bytes * 1.5) { backend.addGated(x, gate: gate, to: y) }
        }
        if only.isEmpty || only == "attention" {
            let shape = [tokens, heads, 128]
            let (q, k, v) = (x.reshaped(shape), y.reshaped(shape), try random(shape))
            let output = try random(shape)
            let full = 4.0 * Double(tokens) * Double(tokens) * Double(dim)
            try report("dense attention", full, 0) {
                backend.attention(q: q, k: k, v: v, scale: 0.088, bias: nil, into: output)
            }
            let projection = try layer(128, 128)
            for quantized in [false, true] {
                let options = SparseAttentionOptions(quantized: quantized)
                let name = quantized ? "SageSLA" : "SLA"
                try report("\(name) 10 %, choice and attention", full * 0.1, 0) {
                    backend.sparseLinearAttention(
                        q: q, k: k, v: v, projection: nil, options: options, blocks: nil, into: output)
                }
                try report("\(name) 10 %, with the linear branch", full * 0.1, 0) {
                    backend.sparseLinearAttention(
                        q: q, k: k, v: v, projection: projection, options: options, blocks: nil, into: output)
                }
            }
            let text = try random([100, heads, 128])
            try report("cross attention, 100 keys", full / Double(tokens) * 100, 0) {
                backend.attention(q: q, k: text, v: text, scale: 0.088, bias: nil, into: output)
            }
        }
        if only.isEmpty || only == "convolution" {
            for (frames, height, width, input, output) in [
                (4, 480, 832, 96, 96), (4, 480, 832, 96, 3), (4, 240, 416, 192, 192), (1, 60, 104, 384, 384),
                (4, 480, 832, 192, 96),
            ] {
                let taps = 27
                let weight = weights(output * input * taps)
                let layer = try backend.makeConvolution(
                    weight: HostTensor(shape: [output, input, 3, 3, 3], values: weight), bias: nil, geometry: .same(1))
                let (image, history) = (
                    try random([frames, height, width, input]), try random([2, height, width, input])
                )
                let result = try random([frames, height, width, output])
                try report(
                    "convolution \(frames) x \(height) x \(width), \(input) -> \(output)",
                    2 * Double(frames * height * width) * Double(input * output * taps), 0
                ) { backend.convolve(image, layer, history: history, residual: nil, into: result) }
                guard output == input else { continue }
                let gamma = try random([input], .f32)
                try report(
                    "channel norm with SiLU, \(frames) x \(height) x \(width) x \(input)", 0,
                    Double(frames * height * width * input * 4)
                ) { backend.channelNorm(image, gamma: gamma, activation: .silu, into: result) }
            }
            let rows = try random([6240, 1, 384])
            let output = try random([6240, 1, 384])
            try report("attention of the VAE's middle, one frame", 4 * 6240.0 * 6240 * 384, 0) {
                backend.attention(q: rows, k: rows, v: rows, scale: 0.05, bias: nil, into: output)
            }
        }
    }
}
