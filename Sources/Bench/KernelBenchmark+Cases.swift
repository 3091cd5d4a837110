import CPUBackend
import Foundation
import Tensors

extension KernelBenchmark {
    /// The layers of a transformer of dim 384 at 3,024 tokens, and of Wan2.1-1.3B at 720.
    func linearCases() throws -> [Case] {
        let shapes = [
            (3024, 384, 384), (3024, 384, 1536), (3024, 1536, 384), (720, 1536, 1536), (720, 1536, 8960),
            (720, 8960, 1536),
        ]
        return shapes.flatMap { m, k, n in
            ["f32", "bf16", "int8"].map { kind in
                Case(
                    name: "linear \(kind)", shape: "\(m) x \(k) -> \(n)",
                    operations: 2 * Double(m) * Double(k) * Double(n)
                ) {
                    let layer = try layer(kind, output: n, input: k)
                    let (x, y) = (try tensor([m, k]), try tensor([m, n]))
                    return { backend.linear(x, layer, into: y, .none) }
                }
            }
        }
    }

    private func layer(_ kind: String, output n: Int, input k: Int) throws -> any Linear {
        let values = Self.values(n * k, step: 0.001)
        let weight =
            kind == "bf16"
            ? HostTensor(
                shape: [n, k], dtype: .bf16,
                copying: values.flatMap { [UInt8($0.bitPattern >> 16 & 0xFF), UInt8($0.bitPattern >> 24)] })
            : HostTensor(shape: [n, k], values: values)
        return try backend.makeLinear(.dense(weight: weight, bias: nil), precision: kind == "int8" ? .int8 : .stored)
    }

    /// Three heads of 128; operations of the dense product, so that the sparse rows compare by seconds.
    func attentionCases() -> [Case] {
        let kinds: [(String, SparseAttentionOptions?)] = [
            ("dense", nil), ("SLA 10 %", .init(topK: 0.1)), ("SageSLA 10 %", .init(topK: 0.1, quantized: true)),
        ]
        return [1024, 3024, 8000].flatMap { tokens in
            kinds.map { kind, options in
                let dense = 4 * Double(tokens) * Double(tokens) * 128 * 3
                return Case(
                    name: "attention \(kind)", shape: "\(tokens) tokens, 3 heads of 128",
                    operations: options == nil ? dense : nil
                ) {
                    let shape = [tokens, 3, 128]
                    let (q, k, v) = (try tensor(shape), try tensor(shape), try tensor(shape))
                    let output = try tensor(shape)
                    guard let options else {
                        return { backend.attention(q: q, k: k, v: v, scale: 0.088, bias: nil, into: output) }
                    }
                    let projection = try layer("f32", output: 128, input: 128)
                    return {
                        backend.sparseLinearAttention(
                            q: q, k: k, v: v, projection: projection, options: options, blocks: nil, into: output)
                    }
                }
            }
        }
    }

    /// Convolutions of a Wan VAE decoder of base 16 and 24 at 256 x 144, four frames, and of base 96 at a smaller size.
    func convolutionCases() -> [Case] {
        let shapes: [(kernel: [Int], channels: (Int, Int), size: (Int, Int, Int))] = [
            ([3, 3, 3], (64, 64), (1, 18, 32)), ([3, 3, 3], (64, 64), (2, 36, 64)),
            ([3, 3, 3], (32, 32), (4, 72, 128)),
            ([3, 3, 3], (16, 16), (4, 144, 256)), ([3, 3, 3], (24, 24), (4, 144, 256)),
            ([3, 3, 3], (16, 3), (4, 144, 256)), ([1, 3, 3], (32, 16), (4, 144, 256)),
            ([3, 1, 1], (64, 128), (2, 36, 64)),
            ([1, 1, 1], (64, 32), (4, 72, 128)), ([3, 3, 3], (96, 96), (4, 72, 128)),
        ]
        return shapes.map { kernel, channels, size in
            let weights = kernel.reduce(1, *) * channels.0 * channels.1
            return Case(
                name: "convolution \(kernel.map { String($0) }.joined(separator: "x"))",
                shape: "\(channels.0) -> \(channels.1), \(size.0) x \(size.1) x \(size.2)",
                operations: 2 * Double(weights) * Double(size.0 * size.1 * size.2)
            ) {
                let values = Self.values(weights, step: 0.001)
                let layer = try backend.makeConvolution(
                    weight: HostTensor(shape: [channels.1, channels.0] + kernel, values: values),
                    bias: HostTensor(shape: [channels.1], values: [Float](repeating: 1, count: channels.1)),
                    geometry: .same(kernel[1] / 2))
                let x = try tensor([size.0, size.1, size.2, channels.0])
                let history = kernel[0] > 1 ? try tensor([2, size.1, size.2, channels.0]) : nil
                let y = try tensor([size.0, size.1, size.2, channels.1])
                return { backend.convolve(x, layer, history: history, residual: nil, into: y) }
            }
        }
    }
}
