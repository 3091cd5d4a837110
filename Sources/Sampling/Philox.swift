/// The counter-based generator behind CUDA's random numbers: 128 bits of counter and 64 of key give 128 random bits.
///
/// Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (Philox4x32-10).
public enum Philox {
    public static func block(counter: SIMD4<UInt32>, key: SIMD2<UInt32>) -> SIMD4<UInt32> {
        var (c, k) = (counter, key)
        for _ in 0..<10 {
            let a = 0xD251_1F53 as UInt64 &* UInt64(c[0])
            let b = 0xCD9E_8D57 as UInt64 &* UInt64(c[2])
            c = SIMD4(
                UInt32(truncatingIfNeeded: b >> 32) ^ c[1] ^ k[0], UInt32(truncatingIfNeeded: b),
                UInt32(truncatingIfNeeded: a >> 32) ^ c[3] ^ k[1], UInt32(truncatingIfNeeded: a))
            k = SIMD2(k[0] &+ 0x9E37_79B9, k[1] &+ 0xBB67_AE85)
        }
        return c
    }
}
