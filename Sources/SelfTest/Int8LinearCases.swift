import Tensors

/// `int8_linear`: codes, scales and outputs of block-quantised linear layers.
///
/// A backend keeps its codes to itself, so they are read off its outputs: one-hot inputs bring out the weights' codes,
/// a unit weight the inputs'.
enum Int8LinearCases {
    static func run(_ section: Section, _ note: (SelfTest.Line) -> Void) throws {
        try section.eachCase(note) { record, _ in
            let file = try record["file"].string
            return try section.file(file).names.contains("scaled")
                ? try roundTable(section, file) : try linear(section, record, file)
        }
    }

    private static let block = 128

    private static func linear(_ section: Section, _ record: Record, _ file: String) throws -> [Measurement] {
        let config = try record["config"]
        let (m, n, k) = (try config["M"].int, try config["N"].int, try config["K"].int)
        let names = try section.file(file).names
        func tensor(_ name: String, _ shape: [Int]) throws -> HostTensor {
            let tensor = try section.tensor(name, in: file)
            guard tensor.shape == shape else { throw CaseError("\(file): \(name) has shape \(tensor.shape)") }
            return tensor
        }
        let x = try tensor("x", [m, k])
        let weight = try tensor("weight", [n, k])
        let codes = try tensor("int8_weight", [n, k])
        let scale = try tensor("scale", [(n + block - 1) / block, (k + block - 1) / block])
        let bias = names.contains("bias") ? try tensor("bias", [n]) : nil
        let backend = section.backend
        let stored = LinearWeights.int8(weight: codes, scale: scale, bias: nil)
        let dense = LinearWeights.dense(weight: weight, bias: nil)

        let exact = try record["tolerance"]["y_rel_l2"].double
        let limit = section.computesInFloat32 ? exact : try record["tolerance"]["y_bf16_rel_l2"].double
        func output(_ weights: LinearWeights) throws -> [Float] {
            try multiply(section, x.floats(), rows: m, weights)
        }
        func compare(_ what: String, _ found: [Float], _ name: String, _ limit: Double) throws -> Measurement {
            let expected = try section.tensor(name, in: file).floats()
            return Measurement(what: what, error: relativeL2(found, expected), limit: limit, measure: "rel L2")
        }
        var measurements = [
            try compare("y of stored codes", try output(stored), "y_no_bias", limit),
            try compare("y of codes made at load", try output(dense), "y_no_bias", limit),
        ]
        // The bias takes part as it will at run time.
        let biased = LinearWeights.int8(weight: codes, scale: scale, bias: bias)
        measurements.append(
            try compare(
                "y with bias", try output(biased), "y_bf16", try record["tolerance"]["y_bf16_rel_l2"].double))
        guard backend.activationType == .f32 else { return measurements }
        measurements += try weightCodes(section, dense, rows: n, columns: k, codes, scale)
        measurements += try inputCodes(
            section, x, try tensor("x_int8", [m, k]), try section.tensor("x_scale", in: file))
        return measurements
    }

    private static func multiply(
        _ section: Section, _ x: [Float], rows: Int, _ weights: LinearWeights
    ) throws -> [Float] {
        let backend = section.backend
        let layer = try backend.makeLinear(weights, precision: .int8)
        let input = try backend.upload(
            HostTensor(shape: [rows, layer.inputSize], values: x), as: backend.activationType)
        let output = try backend.allocate([rows, layer.outputSize], backend.activationType)
        backend.linear(input, layer, into: output, .none)
        return backend.download(output)
    }

    /// `y[i, n]` of the one-hot row i is `127 * code[n, i] * scale / 128`.
    private static func weightCodes(
        _ section: Section, _ weights: LinearWeights, rows: Int, columns: Int, _ codes: HostTensor, _ scale: HostTensor
    ) throws -> [Measurement] {
        var oneHot = [Float](repeating: 0, count: columns * columns)
        for i in 0..<columns { oneHot[i * columns + i] = 1 }
        let y = try multiply(section, oneHot, rows: columns, weights)
        let (expected, scales, across) = (codes.ints(), scale.floats(), scale.shape[1])
        var wrong = 0
        for row in 0..<rows {
            for column in 0..<columns {
                let factor = scales[row / block * across + column / block] * 127 / 128
                if Int((y[column * rows + row] / factor).rounded()) != expected[row * columns + column] { wrong += 1 }
            }
        }
        return [Measurement(what: "weight codes", error: Double(wrong), limit: 0, measure: "differing")]
    }

    /// A unit weight gives `code * scale` back.
    private static func inputCodes(
        _ section: Section, _ x: HostTensor, _ codes: HostTensor, _ scale: HostTensor
    ) throws -> [Measurement] {
        let (m, k) = (x.shape[0], x.shape[1])
        var unit = [UInt8](repeating: 0, count: k * k)
        for i in 0..<k { unit[i * k + i] = 1 }
        let blocks = (k + block - 1) / block
        let weights = LinearWeights.int8(
            weight: HostTensor(shape: [k, k], dtype: .i8, copying: unit),
            scale: HostTensor(shape: [blocks, blocks], values: [Float](repeating: 1, count: blocks * blocks)), bias: nil
        )
        let y = try multiply(section, x.floats(), rows: m, weights)
        let (expected, scales) = (codes.ints(), scale.floats())
        var (wrong, distance) = (0, 0.0)
        for row in 0..<m {
            for column in 0..<k {
                let (value, factor) = (y[row * k + column], scales[row / block * blocks + column / block])
                let code = expected[row * k + column]
                if Int((value / factor).rounded()) != code { wrong += 1 }
                distance = max(distance, abs(Double(value) - Double(Float(code) * factor)))
            }
        }
        return [
            Measurement(what: "input codes", error: Double(wrong), limit: 0, measure: "differing"),
            // Exact products: only an exact scale gives exact values.
            Measurement(what: "input scales", error: distance, limit: 0, measure: "max abs"),
        ]
    }

    /// Values already scaled: beside a 128 in the same block the factor is 1, and each value is its own code.
    private static func roundTable(_ section: Section, _ file: String) throws -> [Measurement] {
        let scaled = try section.tensor("scaled", in: file).floats()
        let expected = try section.tensor("int8", in: file).ints()
        guard scaled.count == expected.count, !scaled.isEmpty else { throw CaseError("\(file): sizes differ") }
        let unit = LinearWeights.int8(
            weight: HostTensor(shape: [1, block], dtype: .i8, copying: [1] + [UInt8](repeating: 0, count: block - 1)),
            scale: HostTensor(shape: [1, 1], values: [1]), bias: nil)
        // Where inputs are bf16, a value between two of them cannot be asked for.
        let askable = zip(scaled, expected).filter { section.computesInFloat32 || $0.0.bitPattern & 0xFFFF == 0 }
        guard askable.count * 4 > scaled.count else { throw CaseError("\(file): too few values that bf16 holds") }
        let wrong = try askable.count { value, code in
            // Beyond 128 the value is its block's largest itself, and saturates.
            let row = [value, max(128, abs(value))] + [Float](repeating: 0, count: block - 2)
            let found = try multiply(section, row, rows: 1, unit)[0] / (max(128, abs(value)) / 128)
            return Int(found.rounded()) != code
        }
        return [Measurement(what: "codes", error: Double(wrong), limit: 0, measure: "differing")]
    }
}
