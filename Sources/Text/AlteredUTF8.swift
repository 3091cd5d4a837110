/// UTF-8 that went through something that changed a few of its bytes.
enum AlteredUTF8 {
    // MARK: Decoding

    /// Strict UTF-8, or nil.
    static func decode(_ bytes: [UInt8]) -> [Unicode.Scalar]? {
        String(validating: bytes, as: UTF8.self).map { Array($0.unicodeScalars) }
    }

    /// UTF-8 in which surrogate pairs may stand for characters (CESU-8) and C0 80 for NUL; or nil.
    /// Source: ftfy bad_codecs/utf8_variants.py.
    static func decodeVariant(_ bytes: [UInt8]) -> [Unicode.Scalar]? {
        var plain: [UInt8] = []
        plain.reserveCapacity(bytes.count)
        var i = 0
        while i < bytes.count {
            if bytes[i] == 0xC0, i + 1 < bytes.count, bytes[i + 1] == 0x80 {
                plain.append(0)
                i += 2
            } else if let scalar = surrogatePair(bytes, i) {
                plain += Array(String(scalar).utf8)
                i += 6
            } else {
                plain.append(bytes[i])
                i += 1
            }
        }
        return decode(plain)
    }

    private static func surrogatePair(_ bytes: [UInt8], _ i: Int) -> Unicode.Scalar? {
        guard i + 5 < bytes.count, bytes[i] == 0xED, bytes[i + 3] == 0xED, (0xA0...0xAF).contains(bytes[i + 1]),
            isContinuation(bytes[i + 2]), (0xB0...0xBF).contains(bytes[i + 4]), isContinuation(bytes[i + 5])
        else { return nil }
        let high = UInt32(bytes[i + 1] & 0x0F) << 6 | UInt32(bytes[i + 2] & 0x3F)
        let low = UInt32(bytes[i + 4] & 0x0F) << 6 | UInt32(bytes[i + 5] & 0x3F)
        return Unicode.Scalar(0x1_0000 + high << 10 + low)
    }

    private static func isContinuation(_ byte: UInt8) -> Bool { byte & 0xC0 == 0x80 }

    // MARK: No-break spaces that became spaces

    /// Puts A0 back where a space stands inside what else would be a likely character.
    ///
    /// Nothing is changed where no such sequence occurs. Source: ftfy `ALTERED_UTF8_RE`, `restore_byte_a0`.
    static func restoringNoBreakSpaces(_ bytes: [UInt8]) -> [UInt8] {
        guard (0..<bytes.count).contains(where: { alteredLength(bytes, $0) != nil }) else { return bytes }
        let words = separatingAGrave(bytes)
        var output: [UInt8] = []
        output.reserveCapacity(words.count)
        var i = 0
        while i < words.count {
            if let length = alteredLength(words, i) {
                output += words[i..<i + length].map { $0 == 0x20 ? 0xA0 : $0 }
                i += length
            } else {
                output.append(words[i])
                i += 1
            }
        }
        return output
    }

    /// "Ã la" was "à la", in which the space is one of its own; but not in Portuguese "às", "àquele".
    private static func separatingAGrave(_ bytes: [UInt8]) -> [UInt8] {
        let portuguese = [" ", "quele", "quela", "quilo", "s "].map { Array($0.utf8) }
        var output: [UInt8] = []
        output.reserveCapacity(bytes.count)
        var i = 0
        while i < bytes.count {
            output.append(bytes[i])
            i += 1
            guard bytes[i - 1] == 0xC3, i < bytes.count, bytes[i] == 0x20 else { continue }
            let rest = bytes[(i + 1)...]
            if portuguese.contains(where: rest.starts(with:)) { continue }
            output += [0xA0, 0x20]
            i += 1
        }
        return output
    }

    /// The length of a sequence at `i` that would be UTF-8 if its space were A0.
    private static func alteredLength(_ bytes: [UInt8], _ i: Int) -> Int? {
        func at(_ offset: Int) -> UInt8 { i + offset < bytes.count ? bytes[i + offset] : 0 }
        // A continuation byte that leads to a likely character next to the one that was lost.
        func isLikely(_ byte: UInt8) -> Bool { isContinuation(byte) && byte != 0x85 && byte != 0xA0 }
        switch at(0) {
        case 0xC2, 0xC3, 0xC5, 0xCE, 0xD0, 0xD9: return at(1) == 0x20 ? 2 : nil
        case 0xE0...0xE3:
            if at(0) >= 0xE2, at(1) == 0x20, isLikely(at(2)) { return 3 }
            return isLikely(at(1)) && at(2) == 0x20 ? 3 : nil
        case 0xF0:
            let spaces = (1...3).filter { at($0) == 0x20 }
            return spaces.count == 1 && (1...3).allSatisfy { at($0) == 0x20 || isContinuation(at($0)) } ? 4 : nil
        default: return nil
        }
    }

    // MARK: Bytes that were lost

    /// Turns sequences with a lost byte (1A, or one question mark) into the encoding of U+FFFD.
    /// Source: ftfy `LOSSY_UTF8_RE`.
    static func replacingLostBytes(_ bytes: [UInt8]) -> [UInt8] {
        guard bytes.contains(0x1A) || bytes.contains(0x3F) else { return bytes }
        var output: [UInt8] = []
        output.reserveCapacity(bytes.count)
        var i = 0
        while i < bytes.count {
            if let length = lossyLength(bytes, i) {
                output += [0xEF, 0xBF, 0xBD]
                i += length
            } else {
                output.append(bytes[i])
                i += 1
            }
        }
        return output
    }

    private static func lossyLength(_ bytes: [UInt8], _ i: Int) -> Int? {
        func at(_ offset: Int) -> UInt8 { i + offset < bytes.count ? bytes[i + offset] : 0 }
        func isLost(_ byte: UInt8) -> Bool { byte == 0x1A || byte == 0x3F }
        func isTail(_ byte: UInt8) -> Bool { byte == 0x1A || isContinuation(byte) }
        /// All of `offsets` are continuations or lost, at least one is lost, and at most one of them a question mark.
        func isLossy(_ offsets: ClosedRange<Int>) -> Bool {
            offsets.contains { isLost(at($0)) } && offsets.allSatisfy { isTail(at($0)) || at($0) == 0x3F }
                && offsets.filter { at($0) == 0x3F }.count <= 1
        }
        switch at(0) {
        case 0x1A: return 1
        case 0xC2...0xDF: return at(1) == 0x1A || (at(0) <= 0xC3 && at(1) == 0x3F) ? 2 : nil
        case 0xE0...0xEF:
            if at(0) == 0xED, (0xA0...0xAF).contains(at(1)), at(3) == 0xED, (0xB0...0xBF).contains(at(4)) {
                let (first, second) = (at(2), at(5))
                if isLost(first) && (isLost(second) || isContinuation(second))
                    || isLost(second) && isContinuation(first)
                {
                    return 6
                }
            }
            return isLossy(1...2) ? 3 : nil
        case 0xF0...0xF4: return isLossy(1...3) ? 4 : nil
        default: return nil
        }
    }
}
