import Foundation
import Tensors

extension GPUBenchmark {
    /// Single operations at the sizes of the 1.3B model at 480p and of its VAE, by device events.
    func operations() throws -> [Row] {
        let ceilings = try ceilings()
        return ceilings.rows + (try linears(ceilings)) + (try norms(ceilings)) + (try attentions(ceilings))
            + (try convolutions(ceilings))
    }

    /// The fastest that this GPU did of each kind in this run, in operations or bytes a second.
    private struct Ceilings {
        var rows: [Row] = []
        var bf16: Double?
        var fp8: Double?
        var bytes: Double?
    }

    /// Large square products and a large copy.
    private func ceilings() throws -> Ceilings {
        var ceilings = Ceilings()
        let size = 8192
        let (x, y) = (try random([size, size]), try random([size, size]))
        for precision in Set([LinearPrecision.stored, backend.quantizedPrecision]).subtracting([.int8]) {
            let layer = try layer(size, size, precision)
            let row = try time(
                "ceiling: linear \(precision == .stored ? "bf16" : precision.rawValue) 8192 x 8192 -> 8192",
                operations: 2 * Double(size * size) * Double(size)
            ) { backend.linear(x, layer, into: y, .none) }
            ceilings.rows.append(row)
            if precision == .fp8 { ceilings.fp8 = row.teraflops } else { ceilings.bf16 = row.teraflops }
        }
        let copies = (try backend.allocate([1 << 30], .u8), try backend.allocate([1 << 30], .u8))
        let copy = try time("ceiling: copy of 1 GiB, read and written", bytes: 2 * 0x1p30) {
            backend.copy(copies.0, into: copies.1)
        }
        ceilings.rows.append(copy)
        ceilings.bytes = copy.gigabytes
        return ceilings
    }

    private static let (tokens, dim, hidden, heads) = (32760, 1536, 8960, 12)

    private func linears(_ ceilings: Ceilings) throws -> [Row] {
        let (tokens, dim, hidden) = (Self.tokens, Self.dim, Self.hidden)
        let (x, y, wide) = (try random([tokens, dim]), try random([tokens, dim]), try random([tokens, hidden]))
        let gate = try random([dim], .f32)
        let unit = 2.0 * Double(tokens) * Double(dim)
        var rows: [Row] = []
        for precision in Set([LinearPrecision.stored, .int8, backend.quantizedPrecision])
            .sorted(by: { $0.rawValue > $1.rawValue })
        {
            let name = precision == .stored ? "bf16" : precision.rawValue
            let ceiling = precision == .fp8 ? ceilings.fp8 : precision == .stored ? ceilings.bf16 : nil
            func run(
                _ what: String, _ input: Tensor, _ output: Tensor, _ epilogue: Epilogue, compares: Bool = false
            ) throws {
                let (from, to) = (input.shape[1], output.shape[1])
                let (layer, weights) = try layer(to, from, precision, keeps: compares)
                rows.append(
                    try time(
                        "linear \(name) \(from) -> \(to)\(what)", operations: unit * Double(from * to) / Double(dim),
                        ceiling: ceiling,
                        error: compares ? { (self.error(of: output, input, weights), nil) } : nil
                    ) { backend.linear(input, layer, into: output, epilogue) })
            }
            try run("", x, y, .none, compares: true)
            try run(", GELU", x, wide, .activation(.geluTanh))
            try run(", gated", wide, y, .gated(gate))
            if precision != .int8 {
                rows.append(
                    try feedForward(name, precision, wide, gate, operations: 2 * unit * Double(hidden), ceiling))
            }
        }
        return rows
    }

    /// Norm, two layers and gated residual in one operation.
    private func feedForward(
        _ name: String, _ precision: LinearPrecision, _ hidden: Tensor, _ gate: Tensor, operations: Double,
        _ ceiling: Double?
    ) throws -> Row {
        let (dim, width, few) = (Self.dim, Self.hidden, 16)
        let (x, normed) = (try random([Self.tokens, dim]), try random([Self.tokens, dim]))
        let (first, second) = (
            try layer(width, dim, precision, keeps: true), try layer(dim, width, precision, keeps: true)
        )
        let norm = RowNorm.modulated(shift: gate, scale: gate, epsilon: 1e-6)
        func run() {
            backend.feedForward(
                x, by: norm, first.layer, second.layer, gate: gate, hidden: hidden, normed: normed)
        }
        // What the first rows get, against double precision over float32 weights, from a norm as the backend rounds it.
        let start = try backend.allocate([few, dim], backend.activationType)
        backend.modulatedNorm(x.rows(0..<few), shift: gate, scale: gate, epsilon: 1e-6, into: start)
        let (input, old) = (backend.download(start), backend.download(x.rows(0..<few)))
        run()
        let (found, gates) = (backend.download(x.rows(0..<few)), backend.download(gate))
        let error: () -> (dense: Double?, bits: Double?) = {
            let middle = Self.exact(input, few, first.values, from: dim, to: width).map { y in
                Float(y / (1 + exp(-1.5957691216057308 * (y + 0.044715 * y * y * y))))
            }
            let added = Self.exact(middle, few, second.values, from: width, to: dim)
            let expected = added.indices.map { Float(Double(gates[$0 % dim]) * added[$0]) }
            return (Self.error(zip(found, old).map { $0 - $1 }, expected), nil)
        }
        return try time(
            "feed-forward \(name) \(dim) -> \(width) -> \(dim)", operations: operations, ceiling: ceiling,
            error: error, run)
    }

    private func norms(_ ceilings: Ceilings) throws -> [Row] {
        let (tokens, dim) = (Self.tokens, Self.dim)
        let (x, y, gate) = (try random([tokens, dim]), try random([tokens, dim]), try random([dim], .f32))
        let table = try random([tokens, 64, 2], .f32)
        let bytes = Double(tokens * dim * 4)
        return [
            try time("modulated norm", bytes: bytes, ceiling: ceilings.bytes) {
                backend.modulatedNorm(x, shift: gate, scale: gate, epsilon: 1e-6, into: y)
            },
            try time("rms norm", bytes: bytes, ceiling: ceilings.bytes) {
                backend.rmsNorm(x, weight: gate, epsilon: 1e-6, into: y)
            },
            try time("RoPE", bytes: bytes, ceiling: ceilings.bytes) {
                backend.rotate(y.reshaped([tokens, Self.heads, 128]), table: table)
            },
            try time("add gated", bytes: bytes * 1.5, ceiling: ceilings.bytes) {
                backend.addGated(x, gate: gate, to: y)
            },
        ]
    }

    private func attentions(_ ceilings: Ceilings) throws -> [Row] {
        let shape = [Self.tokens, Self.heads, 128]
        let (q, k, v) = (try random(shape), try random(shape), try random(shape))
        let (output, text) = (try random(shape), try random([100, Self.heads, 128]))
        let projection = try layer(128, 128)
        let full = 4.0 * Double(Self.tokens) * Double(Self.tokens) * Double(Self.dim)
        var rows = [
            try time("attention, dense", operations: full, ceiling: ceilings.bf16) {
                backend.attention(q: q, k: k, v: v, scale: 0.088, bias: nil, into: output)
            }
        ]
        // What the first 256 queries get: of dense attention in bf16 (0.2 % from double precision, as the operation checks
        // say), and of the same blocks in bf16.
        func values() -> [Float] { backend.download(output.rows(0..<256)) }
        let dense = values()
        for quantized in [false, true] {
            let options = Self.attention(quantized: quantized)
            var plain = options
            plain.quantized = false
            backend.sparseLinearAttention(
                q: q, k: k, v: v, projection: nil, options: plain, blocks: nil, into: output)
            let sameBlocks = values()
            let name = quantized ? "SageSLA" : "SLA"
            for branch in [nil, projection] {
                rows.append(
                    try time(
                        "attention, \(name) 10 %\(branch == nil ? " without" : ", with") linear branch",
                        operations: full * 0.1, ceiling: ceilings.bf16,
                        error: branch == nil
                            ? {
                                let found = values()
                                return (
                                    Self.error(found, dense), quantized ? Self.error(found, sameBlocks) : nil
                                )
                            } : nil
                    ) {
                        backend.sparseLinearAttention(
                            q: q, k: k, v: v, projection: branch, options: options, blocks: nil, into: output)
                    })
            }
        }
        rows.append(
            try time(
                "attention to 100 rows of text", operations: full / Double(Self.tokens) * 100, ceiling: ceilings.bf16
            ) {
                backend.attention(q: q, k: text, v: text, scale: 0.088, bias: nil, into: output)
            })
        let pixels = [6240, 1, 384]
        let (row, result) = (try random(pixels), try random(pixels))
        rows.append(
            try time(
                "attention of the VAE's middle, one frame", operations: 4 * 6240.0 * 6240 * 384, ceiling: ceilings.bf16
            ) {
                backend.attention(q: row, k: row, v: row, scale: 0.05, bias: nil, into: result)
            })
        return rows
    }

    private func convolutions(_ ceilings: Ceilings) throws -> [Row] {
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
                    operations: 2 * Double(frames * height * width) * Double(input * output * 27),
                    ceiling: ceilings.bf16
                ) { backend.convolve(image, layer, history: history, residual: nil, into: result) }
            ]
            if input == output {
                let gamma = try random([input], .f32)
                rows.append(
                    try time(
                        "channel norm with SiLU, \(size) x \(input)", bytes: Double(image.byteCount + result.byteCount),
                        ceiling: ceilings.bytes
                    ) { backend.channelNorm(image, gamma: gamma, activation: .silu, into: result) })
            }
            return rows
        }
    }

    // MARK: Inputs and times

    private func random(_ shape: [Int], _ dtype: DType? = nil) throws -> Tensor {
        try backend.upload(
            HostTensor(shape: shape, values: inputs(shape.reduce(1, *))), as: dtype ?? backend.activationType)
    }

    private func layer(_ output: Int, _ input: Int, _ precision: LinearPrecision = .stored) throws -> any Linear {
        try layer(output, input, precision, keeps: false).layer
    }

    /// - Parameter keeps: also returns the weights `[output, input]`, followed by the bias.
    private func layer(
        _ output: Int, _ input: Int, _ precision: LinearPrecision, keeps: Bool
    ) throws -> (layer: any Linear, values: [Float]) {
        let (w, b) = (weights(output * input), weights(output))
        let layer = try backend.makeLinear(
            .dense(
                weight: HostTensor(shape: [output, input], values: w), bias: HostTensor(shape: [output], values: b)),
            precision: precision)
        return (layer, keeps ? w + b : [])
    }

    private static func error(_ a: [Float], _ b: [Float]) -> Double {
        var (difference, norm) = (0.0, 0.0)
        for (x, y) in zip(a, b) {
            difference += Double(x - y) * Double(x - y)
            norm += Double(y) * Double(y)
        }
        return (difference / norm).squareRoot()
    }

    /// Of the first 64 rows of a layer's output, against the same layer in double precision over float32 weights.
    private func error(of output: Tensor, _ input: Tensor, _ weights: [Float]) -> Double {
        let rows = 64
        let (x, y) = (backend.download(input.rows(0..<rows)), backend.download(output.rows(0..<rows)))
        let expected = Self.exact(x, rows, weights, from: input.shape[1], to: output.shape[1])
        var (difference, norm) = (0.0, 0.0)
        for (found, wanted) in zip(y, expected) {
            difference += (Double(found) - wanted) * (Double(found) - wanted)
            norm += wanted * wanted
        }
        return (difference / norm).squareRoot()
    }

    /// A layer in double precision: weights `[n, k]` followed by the bias.
    private static func exact(_ x: [Float], _ rows: Int, _ weights: [Float], from k: Int, to n: Int) -> [Double] {
        x.withUnsafeBufferPointer { x in
            weights.withUnsafeBufferPointer { w in
                (0..<rows * n).map { index in
                    let (row, column) = (index / n, index % n)
                    var sum = Double(w[n * k + column])
                    for i in 0..<k { sum += Double(x[row * k + i]) * Double(w[column * k + i]) }
                    return sum
                }
            }
        }
    }

    /// Values between -0.05 and 0.05 that do not repeat soon.
    private func weights(_ count: Int) -> [Float] { values.take(count, scale: 1) }

    /// The same between -1 and 1.
    private func inputs(_ count: Int) -> [Float] { values.take(count, scale: 20) }

    private func time(
        _ name: String, operations: Double? = nil, bytes: Double? = nil, ceiling: Double? = nil,
        error: (() -> (dense: Double?, bits: Double?))? = nil, _ body: () -> Void
    ) throws -> Row {
        body()
        backend.resetPeakMemory()
        let times = try (0..<max(5, repetitions)).map { _ in try backend.time(body) / 1000 }.sorted()
        try backend.check()
        let median = times[times.count / 2]
        let rate = operations.map { $0 / median / 1e12 } ?? bytes.map { $0 / median / 1e9 }
        let errors = error?()
        let row = Row(
            name: name, seconds: median, fastest: times[0], slowest: times[times.count - 1],
            teraflops: operations.map { $0 / median / 1e12 }, gigabytes: bytes.map { $0 / median / 1e9 },
            shareOfCeiling: ceiling.flatMap { ceiling in rate.map { $0 / ceiling } }, relativeError: errors?.dense,
            relativeErrorOfBits: errors?.bits,
            peakBytes: backend.memoryUsage.peak)
        report(row)
        return row
    }
}

/// The values that operations are measured with, made once: those of a short tensor are the first of a longer one's.
final class BenchmarkValues {
    private var made: [Float: [Float]] = [:]

    func take(_ count: Int, scale: Float) -> [Float] {
        if (made[scale]?.count ?? 0) < count {
            made[scale] = (0..<count).map { (i: Int) -> Float in
                let a = Float((i &* 7919 &+ 13) % 4093) / 4093
                let b = Float((i &* 104_729 &+ 7) % 6029) / 6029
                return (a + b - 1) / 20 * scale
            }
        }
        return Array(made[scale]?.prefix(count) ?? [])
    }
}
