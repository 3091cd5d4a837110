import CUDADriver
import Tensors

/// `Hidden` of fused.cu.
struct KernelHidden: BitwiseCopyable {
    var x: TensorMap
    var w: TensorMap
    var xScale: DeviceAddress
    var wScale: DeviceAddress
    var bias: DeviceAddress
    var lengths: DeviceAddress
    var bounds: DeviceAddress
    var out: DeviceAddress
    var outScale: DeviceAddress
    var rows: Int32
    var columns: Int32
    var depth: Int32
    var group: Int32
    var padding: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0, 0)
}

extension CUDABackend {
    private var usesFused: Bool { fastPaths.contains(.fused) && usesHopper && stream.makesTensorMaps }

    /// Whether hidden rows become codes in the product that makes them.
    func fusesFeedForward(dim: Int, hidden: Int) -> Bool {
        usesFused && dim <= 5120 && suitsRows8(output: hidden, input: dim) && suitsRows8(output: dim, input: hidden)
    }

    public func feedForward(
        _ x: Tensor, by norm: RowNorm, _ first: any Linear, _ second: any Linear, gate: Tensor, hidden: Tensor,
        normed: Tensor
    ) {
        let (rows, dim) = x.matrix
        guard let first = first as? CUDALinear, let second = second as? CUDALinear,
            case .rows8(let weights, let scale) = first.weights, let bounds = first.bounds,
            case .rows8 = second.weights,
            fusesFeedForward(dim: dim, hidden: first.outputSize), suitsNormedRows8(x, norm), hidden.isAligned(16),
            first.inputSize == dim, second.inputSize == first.outputSize, second.outputSize == dim
        else {
            return feedForwardInParts(x, by: norm, first, second, gate: gate, hidden: hidden, normed: normed)
        }
        // Codes take half of what `hidden` was made for.
        let width = first.outputSize
        let atOnce = hidden.byteCount / width
        for start in stride(from: 0, to: rows, by: atOnce) {
            let part = x.rows(start..<min(start + atOnce, rows))
            let count = part.shape[0]
            let (lengths, hiddenScale) = (scratch([count], .f32), scratch([count], .f32))
            let input = normedRows8(part, norm, lengths: lengths)
            let codes = Tensor(buffer: hidden.buffer, offset: hidden.offset, shape: [count, width], dtype: .u8)
            must {
                func map(_ codes: Tensor) throws -> TensorMap {
                    let (rows, columns) = codes.matrix
                    return try stream.tensorMap(
                        codes.address, tokens: rows, heads: 1, width: columns, element: .byte, rows: 128)
                }
                let problem = KernelHidden(
                    x: try map(input.codes), w: try map(weights), xScale: input.scale.address, wScale: scale.address,
                    bias: first.bias.address, lengths: lengths.address, bounds: bounds.address, out: codes.address,
                    outScale: hiddenScale.address, rows: Int32(count), columns: Int32(width), depth: Int32(dim),
                    group: 16)
                let tiles = (count + 127) / 128 * ((width + 127) / 128)
                launchWhole(
                    .fused, "hidden_codes", blocks: min(device.multiprocessors, tiles), threads: 384,
                    shared: Self.hiddenBytes, problem)
            }
            withExtendedLifetime((input.codes, input.scale, lengths)) {}
            var finish = kernelEpilogue(.gated(gate), rows: count, output: part)
            finish.bias = second.bias.address
            multiplyRows8(Rows8(codes: codes, scale: hiddenScale), second, into: part, .gated(gate), finish)
        }
    }

    /// Six places of a tile each of x and w, at a multiple of 1024, four of scales and biases, and the barriers.
    private static let hiddenBytes = 1024 + 6 * 2 * 128 * 128 + 4 * 2 * 128 * 4 + 16 * 6
}
