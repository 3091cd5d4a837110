#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Standard normal float32 values as torch's CPU generator draws them.
///
/// Source: PyTorch aten/src/ATen/native/cpu/DistributionTemplates.h `normal_fill`, ATen/core/DistributionsHelper.h.
public struct HostNoise: Sendable {
    private var generator: MersenneTwister
    /// The second value of a Box-Muller pair drawn by a short request, kept for the next one.
    private var spare: Double?

    /// Only the low 32 bits of the seed count.
    public init(seed: UInt64) {
        generator = MersenneTwister(seed: UInt32(truncatingIfNeeded: seed))
    }

    /// The next `count` values: one call of `torch.randn` of that many elements.
    public mutating func draw(_ count: Int) -> [Float] {
        count < 16 ? (0..<max(count, 0)).map { _ in single() } : filled(count)
    }

    /// The next value of `torch.rand`, in [0, 1).
    public mutating func uniform() -> Float { Float(generator.next() & 0xFF_FFFF) * 0x1p-24 }

    private mutating func filled(_ count: Int) -> [Float] {
        var values = (0..<count).map { _ in uniform() }
        for start in stride(from: 0, through: count - 16, by: 16) { Self.transform(&values, at: start) }
        if count % 16 != 0 {
            for i in count - 16..<count { values[i] = uniform() }
            Self.transform(&values, at: count - 16)
        }
        return values
    }

    private static func transform(_ values: inout [Float], at start: Int) {
        for i in start..<start + 8 {
            let radius = (-2 * logf(1 - values[i])).squareRoot()
            let angle = 6.2831855 * values[i + 8]  // `2 * Float.pi` is a bit less: Swift rounds pi down
            values[i] = radius * cosf(angle)
            values[i + 8] = radius * sinf(angle)
        }
    }

    private mutating func single() -> Float {
        if let value = spare {
            spare = nil
            return Float(value)
        }
        let u1 = Double(generator.next64() & (1 << 53 - 1)) * 0x1p-53
        let u2 = Double(generator.next64() & (1 << 53 - 1)) * 0x1p-53
        let radius = (-2 * log1p(-u2)).squareRoot()
        spare = radius * sin(2 * .pi * u1)
        return Float(radius * cos(2 * .pi * u1))
    }
}
