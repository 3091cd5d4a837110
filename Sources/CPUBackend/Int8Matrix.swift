import CKernels

/// A matrix quantised in blocks of 128 x 128: `value = code * scale`.
///
/// factor = 128 / max(amax, 1e-8); code = round half to even, saturated; scale = max(amax, 1e-8) / 128.
/// Source: TurboDiffusion ops/quant/quant.hpp.
public struct Int8Matrix: Sendable {
    /// `[rows, columns]`
    public let codes: [Int8]
    /// `[ceil(rows / 128), ceil(columns / 128)]`
    public let scale: [Float]

    /// - Parameter values: `[rows, columns]`.
    public init(quantizing values: [Float], rows: Int, columns: Int) {
        self.init(quantizing: values, rows: rows, columns: columns, CPULevel.preferred.kernels)
    }

    init(quantizing values: [Float], rows: Int, columns: Int, _ kernels: dk_kernels) {
        precondition(values.count == rows * columns, "\(values.count) values for \(rows) x \(columns)")
        let blocks = (columns + 127) / 128
        var codes = [Int8](repeating: 0, count: values.count)
        var scale = [Float](repeating: 0, count: (rows + 127) / 128 * blocks)
        values.withUnsafeBufferPointer { values in
            codes.withUnsafeMutableBufferPointer { codes in
                scale.withUnsafeMutableBufferPointer { scale in
                    guard let from = values.baseAddress, let to = codes.baseAddress, let s = scale.baseAddress else {
                        return
                    }
                    for row in stride(from: 0, to: rows, by: 128) {
                        kernels.quantize_blocks(
                            from + row * columns, min(128, rows - row), columns, to + row * columns,
                            s + row / 128 * blocks)
                    }
                }
            }
        }
        self.codes = codes
        self.scale = scale
    }

    /// The code of a value already divided by its scale: half to even, saturated to [-128, 127].
    public static func code(_ scaled: Float) -> Int8 {
        Int8(max(-128, min(127, scaled.rounded(.toNearestOrEven))))
    }
}
