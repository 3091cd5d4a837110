/// The triangle filter of one axis: which source samples make each output sample, with 16-bit weights.
struct ResizeWeights {
    struct Span {
        /// First source sample.
        let start: Int
        /// Where the weights of `start`, `start + 1`, ... stand in `values`.
        let weights: Range<Int>
    }

    let spans: [Span]
    let values: [Int16]
    let precision: Int32
    /// One half in fixed point: the start of each sum, so that the shift rounds to nearest.
    let half: Int32

    /// Support is `max(1, scale)` source samples to each side of the centre `(i + 0.5) * scale`; weights of one output
    /// sample add up to 1 before they are rounded, to as many bits as the largest weight leaves in an Int16.
    init(from inputCount: Int, to outputCount: Int) {
        let scale = Double(inputCount) / Double(outputCount)
        let support = max(1, scale)
        let longest = Int(support.rounded(.up)) * 2 + 1
        var spans: [Span] = []
        spans.reserveCapacity(outputCount)
        var exact: [Double] = []
        exact.reserveCapacity(outputCount * longest)
        var largest = 0.0
        for index in 0..<outputCount {
            let center = scale * (Double(index) + 0.5)
            let start = max(Int(center - support + 0.5), 0)
            let end = min(Int(center + support + 0.5), inputCount)
            let count = min(max(end - start, 0), longest)
            let taps = (0..<count).map { tap -> Double in
                let distance = abs((Double(tap + start) - center + 0.5) * (1 / support))
                return distance < 1 ? 1 - distance : 0
            }
            let total = taps.reduce(0, +)
            let first = exact.count
            for tap in taps {
                let weight = total == 0 ? tap : tap / total
                largest = max(largest, weight)
                exact.append(weight)
            }
            spans.append(Span(start: start, weights: first..<exact.count))
        }
        var precision: Int32 = 0
        while precision < 22, 0.5 + largest * Double(1 << (precision + 1)) < Double(1 << 15) { precision += 1 }
        let unit = Double(1 << precision)
        self.spans = spans
        values = exact.map { Int16(0.5 + $0 * unit) }
        self.precision = precision
        half = 1 << (precision - 1)
    }

    @inline(__always)
    func rounded(_ sum: Int32) -> UInt8 { UInt8(max(0, min(255, sum >> precision))) }
}
