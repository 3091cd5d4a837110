import Checkpoints

/// What random weights are drawn from: normal-like, with a deviation that keeps activations in range.
struct WeightDistribution: Hashable {
    let centre: Float
    let deviation: Float

    init(of entry: SafetensorsWriter.Entry) {
        let fanIn = max(1, entry.shape.dropFirst().reduce(1, *))
        let isScale = entry.name.hasSuffix("gamma") || entry.name.contains("norm") && entry.name.hasSuffix("weight")
        let isMatrix = entry.shape.count > 1 && !isScale && !entry.name.hasSuffix("modulation")
        centre = isScale ? 1 : 0
        deviation = isMatrix ? (1 / Float(fanIn)).squareRoot() : 0.02
    }

    /// A mebibyte of bf16 values to be repeated; its length is prime to every row's, so that rows differ.
    var pattern: [UInt16] { values(524_287).map { UInt16($0.bitPattern >> 16) } }

    func values(_ count: Int) -> [Float] {
        var state: UInt64 = 0x9E37_79B9_7F4A_7C15
        return (0..<count).map { _ in
            var sum: Float = 0
            for _ in 0..<4 {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                sum += Float(state >> 40) * 0x1p-24 - 0.5
            }
            return centre + sum * deviation * 1.7320508
        }
    }
}
