/// Inputs of benchmarks: drawn on the spot, the same in every run.
enum RandomInput {
    /// Uniform in -1 to 1.
    ///
    /// Source: Marsaglia, "Xorshift RNGs" (2003).
    static func values(_ count: Int) -> [Float] {
        var state: UInt64 = 88_172_645_463_325_252
        return (0..<count).map { _ in
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return Float(state >> 40) * 0x1p-23 - 1
        }
    }
}
