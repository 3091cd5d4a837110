import CSystem
import Foundation

/// A running SHA-256, told as lower-case hexadecimal.
public struct Digest {
    private var state = dropreel_sha256()

    public init() { dropreel_sha256_start(&state) }

    public mutating func add(_ bytes: UnsafeRawBufferPointer) {
        dropreel_sha256_add(&state, bytes.baseAddress, bytes.count)
    }

    /// 64 lower-case hexadecimal digits of what was added so far; more may follow.
    public var hexadecimal: String {
        var copy = state
        var bytes = [UInt8](repeating: 0, count: 32)
        dropreel_sha256_finish(&copy, &bytes)
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }

    public static func of(_ bytes: some ContiguousBytes) -> String {
        var digest = Digest()
        bytes.withUnsafeBytes { digest.add($0) }
        return digest.hexadecimal
    }
}
