import CSystem

/// A running SHA-256.
struct ByteDigest {
    private var state = dropreel_sha256()

    init() { dropreel_sha256_start(&state) }

    mutating func add(_ bytes: UnsafeRawBufferPointer) {
        dropreel_sha256_add(&state, bytes.baseAddress, bytes.count)
    }

    /// Lower-case hexadecimal, 64 digits; the digest is used up.
    mutating func finish() -> String {
        var bytes = [UInt8](repeating: 0, count: 32)
        dropreel_sha256_finish(&state, &bytes)
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}
