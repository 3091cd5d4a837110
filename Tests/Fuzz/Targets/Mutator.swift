import TestSupport

/// Changes inputs at random; the same seed gives the same inputs on every machine.
public struct Mutator: Sendable {
    private let seeds: [[UInt8]]
    private let tokens: [[UInt8]]
    private let limit: Int
    private var random: SplitMix

    public init(_ target: FuzzTarget, seed: UInt64) {
        seeds = target.seeds
        tokens = target.tokens
        limit = FuzzTarget.limit
        random = SplitMix(seed)
    }

    /// The next input: a seed with one to eight changes.
    public mutating func next() -> [UInt8] {
        var bytes = seeds[below(seeds.count)]
        for _ in 0...below(8) { change(&bytes) }
        if bytes.count > limit { bytes.removeLast(bytes.count - limit) }
        return bytes
    }

    private mutating func change(_ bytes: inout [UInt8]) {
        let at = below(bytes.count + 1)
        let end = min(bytes.count, at + 1 + below(16))
        switch below(10) {
        case 0 where at < bytes.count: bytes[at] ^= 1 << UInt8(below(8))
        case 1 where at < bytes.count: bytes[at] = UInt8(below(256))
        case 2 where at < bytes.count: bytes[at] &+= UInt8(truncatingIfNeeded: below(17) - 8)
        case 3: bytes.removeSubrange(at..<end)
        case 4: bytes.insert(contentsOf: bytes[at..<end], at: at)
        case 5: bytes.removeLast(bytes.count - at)
        case 6: bytes.replaceSubrange(at..<end, with: tokens[below(tokens.count)])
        case 7:
            let other = seeds[below(seeds.count)]
            let from = below(other.count)
            bytes.replaceSubrange(at..<end, with: other[from..<min(other.count, from + 1 + below(64))])
        case 8:
            // A number of digits or of bytes, made extreme.
            for index in at..<end where bytes[index] >= 0x30 && bytes[index] <= 0x39 { bytes[index] = 0x39 }
        default: bytes.insert(contentsOf: tokens[below(tokens.count)], at: at)
        }
    }

    private mutating func below(_ bound: Int) -> Int {
        let value = random.next()
        return bound > 0 ? Int(value.multipliedFullWidth(by: UInt64(bound)).high) : 0
    }
}
