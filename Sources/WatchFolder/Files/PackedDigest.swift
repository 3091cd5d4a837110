/// A SHA-256 in 32 bytes. As text it takes three times as much, which counts where hundreds of thousands are held.
struct PackedDigest: Hashable, Sendable {
    /// Eight bytes each, first ones first; nil for a file that was never read.
    private var words: SIMD4<UInt64>?

    /// - Parameter text: 64 hexadecimal digits; anything else counts as none.
    init(_ text: String) {
        guard text.utf8.count == 64 else { return }
        var words = SIMD4<UInt64>()
        for (index, byte) in text.utf8.enumerated() {
            guard let digit = Self.digits.firstIndex(of: byte) else { return }
            words[index / 16] = words[index / 16] << 4 | UInt64(digit)
        }
        self.words = words
    }

    /// 64 lower-case hexadecimal digits, or nothing.
    var text: String {
        guard let words else { return "" }
        return String(
            decoding: (0..<64).map { Self.digits[Int(words[$0 / 16] >> (60 - 4 * UInt64($0 % 16)) & 15)] },
            as: UTF8.self)
    }

    private static let digits = Array("0123456789abcdef".utf8)
}
