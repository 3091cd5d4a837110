import Foundation
import Tensors

extension GPUBenchmark {
    /// Single operations at the sizes of the 1.3B model at 480p and of its VAE, by device events.
    func operations() throws -> [Row] { try linears() + norms() + attentions() + convolutions() }

    private static let (tokens, dim, hidden, heads) = (32760, 1536, 8960, 12)

    private func linears() throws -> [Row] {
        let (tokens, dim, hidden) = (Self.tokens, Self.dim, Self.hidden)
        let (x, y, wide) = (try random([tokens, dim]), try random([tokens, dim]), try random([tokens, hidden]))
        let gate = try random([dim], .f32)
        let unit = 2.0 * Double(tokens) * Double(dim)
        var rows: [Row] = []
        for precision in Set([LinearPrecision.stored, .int8, backend.quantizedPrecision]).sorted(by: {
            $0.rawValue > $1.rawValue
        }) {
            let (square, up) = (try layer(dim, dim, precision), try layer(hidden, dim, precision))
            let (down, name) = (try layer(dim, hidden, precision), precision == .stored ? "bf16" : precision.rawValue)
            rows += [
                try time("linear \(name) 1536 -> 1536", operations: unit * Double(dim)) {
                    backend.linear(x, square, into: y, .none)
                },
                try time("linear \(name) 1536 -> 8960, GELU", operations: unit * Double(hidden)) {
                    backend.linear(x, up, into: wide, .activation(.geluTanh))
                },
                try time("linear \(name) 8960 -> 1536, gated", operations: unit * Double(hidden)) {
                    backend.linear(wide, down, into: y, .gated(gate))
                },
            ]
        }
        return rows
    }

    private func norms() throws -> [Row] {
        let (tokens, dim) = (Self.tokens, Self.dim)
        let (x, y, gate) = (try random([tokens, dim]), try random([tokens, dim]), try random([dim], .f32))
        let table = try random([tokens, 64, 2], .f32)
        let bytes = Double(tokens * dim * 4)
        return [
            try time("modulated norm", bytes: bytes) {
                backend.modulatedNorm(x, shift: gate, scale: gate, epsilon: 1e-6, into: y)
            },
            try time("rms norm", bytes: bytes) { backend.rmsNorm(x, weight: gate, epsilon: 1e-6, into: y) },
            try time("RoPE", bytes: bytes) { backend.rotate(y.reshaped([tokens, Self.heads, 128]), table: table) },
            try time("add gated", bytes: bytes * 1.5) { backend.addGated(x, gate: gate, to: y) },
        ]
    }

    private func attentions() throws -> [Row] {
        let shape = [Self.tokens, Self.heads, 128]
        let (q, k, v) = (try random(shape), try random(shape), try random(shape))
        let (output, text) = (try random(shape), try random([100, Self.heads, 128]))
        let projection = try layer(128, 128)
        let full = 4.0 * Double(Self.tokens) * Double(Self.tokens) * Double(Self.dim)
        var rows = [
            try time("attention, dense", operations: full) {
                backend.attention(q: q, k: k, v: v, scale: 0.088, bias: nil, into: output)
            }
        ]
        for quantized in [false, true] {
            let options = SparseAttentionOptions(quantized: quantized)
            let name = quantized ? "SageSLA" : "SLA"
            for branch in [nil, projection] {
                rows.append(
                    try time(
                        "attention, \(name) 10 %\(branch == nil ? " without" : ", with") linear branch",
                        operations: full * 0.1
                    ) {
                        backend.sparseLinearAttention(
                            q: q, k: k, v: v, projection: branch, options: options, blocks: nil, into: output)
                    })
            }
        }
        rows.append(
            try time("attention to 100 rows of text", operations: full / Double(Self.tokens) * 100) {
                backend.attention(q: q, k: text, v: text, scale: 0.088, bias: nil, into: output)
            })
        let pixels = [6240, 1, 384]
        let (row, result) = (try random(pixels), try random(pixels))
        rows.append(
            try time("attention of the VAE's middle, one frame", operations: 4 * 6240.0 * 6240 * 384) {
                backend.attention(q: row, k: row, v: row, scale: 0.05, bias: nil, into: result)
            })
        return rows
    }

    private func convolutions() throws -> [Row] {
        let cases = [
            (4, 480, 832, 96, 96), (4, 480, 832, 96, 3), (4, 240, 416, 192, 192), (1, 60, 104, 384, 384),
            (4, 480, 832, 192, 96),
        ]
        return try cases.flatMap { frames, height, width, input, output in
            let layer = try backend.makeConvolution(
                weight: HostTensor(shape: [output, input, 3, 3, 3], values: weights(output * input * 27)), bias: nil,
                geometry: .same(1))
            let (image, history) = (try random([frames, height, width, input]), try random([2, height, width, input]))
            let (result, size) = (try random([frames, height, width, output]), "\(frames) x \(height) x \(width)")
            var rows = [
                try time(
                    "convolution \(size), \(input) -> \(output)",
                    operations: 2 * Double(frames * height * width) * Double(input * output * 27)
                ) { backend.convolve(image, layer, history: history, residual: nil, into: result) }
            ]
            if input == output {
                let gamma = try random([input], .f32)
                rows.append(
                    try time(
                        "channel norm with SiLU, \(size) x \(input)", bytes: Double(image.byteCount + result.byteCount)
                    ) { backend.channelNorm(image, gamma: gamma, activation: .silu, into: result) })
            }
            return rows
        }
    }

    // MARK: Inputs and times

    private func random(_ shape: [Int], _ dtype: DType? = nil) throws -> Tensor {
        try backend.upload(
            HostTensor(shape: shape, values: weights(shape.reduce(1, *)).map { $0 * 20 }),
            as: dtype ?? backend.activationType)
    }

    private func layer(_ output: Int, _ input: Int, _ precision: LinearPrecision = .stored) throws -> any Linear {
        try backend.makeLinear(
            .dense(
                weight: HostTensor(shape: [output, input], values: weights(output * input)),
                bias: HostTensor(shape: [output], values: weights(output))), precision: precision)
    }

    /// Values between -0.05 and 0.05 that do not repeat soon.
    private func weights(_ count: Int) -> [Float] {
        (0..<count).map { (i: Int) -> Float in
            let a = Float((i &* 7919 &+ 13) % 4093) / 4093
            let b = Float((i &* 104_729 &+ 7) % 6029) / 6029
            return (a + b - 1) / 20
        }
    }

    private func time(
        _ name: String, operations: Double? = nil, bytes: Double? = nil, _ body: () -> Void
    ) throws -> Row {
        body()
        backend.resetPeakMemory()
        let times = try (0..<max(5, repetitions)).map { _ in try backend.time(body) / 1000 }.sorted()
        try backend.check()
        let median = times[times.count / 2]
        let row = Row(
            name: name, seconds: median, fastest: times[0], slowest: times[times.count - 1],
            teraflops: operations.map { $0 / median / 1e12 }, gigabytes: bytes.map { $0 / median / 1e9 },
            peakBytes: backend.memoryUsage.peak)
        report(row)
        return row
    }
}
