/// A SentencePiece normalisation table: a double-array trie of replaceable byte strings and the replacements.
///
/// Applied as Hugging Face's tokenizers apply it: a grapheme of at most five bytes is replaced as a whole by what its
/// shortest known beginning stands for; otherwise each of its characters is looked up by itself. (SentencePiece
/// takes the longest match anywhere; for composed text the two agree almost everywhere.)
/// Source: spm_precompiled src/lib.rs, tokenizers src/normalizers/precompiled.rs; Darts-clone for the array's units.
struct PrecompiledNormalizer: Sendable {
    private let units: [UInt32]
    private let replacements: [UInt8]

    /// - Returns: nil if the table is broken.
    init?(_ table: [UInt8]) {
        func word(_ offset: Int) -> UInt32 { (0..<4).reduce(0) { $0 | UInt32(table[offset + $1]) << UInt32(8 * $1) } }
        guard table.count >= 4 else { return nil }
        let size = Int(word(0))
        guard size.isMultiple(of: 4), size >= 4, size <= table.count - 4 else { return nil }
        units = stride(from: 4, to: 4 + size, by: 4).map(word)
        replacements = Array(table[(4 + size)...])
    }

    func normalize(_ text: String) -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(text.utf8.count)
        for grapheme in text {
            let bytes = Array(grapheme.utf8)
            if bytes.count < 6, let replacement = replacement(bytes[...]) {
                output += replacement
                continue
            }
            for scalar in grapheme.unicodeScalars {
                let bytes = Array(String(scalar).utf8)
                output += replacement(bytes[...]) ?? bytes[...]
            }
        }
        return output
    }

    /// What the shortest known beginning of `bytes` stands for.
    private func replacement(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
        var node = offset(units[0])
        for byte in bytes {
            guard byte != 0 else { return nil }
            node ^= Int(byte)
            guard node < units.count, units[node] & 0x8000_00FF == UInt32(byte) else { return nil }
            let unit = units[node]
            node ^= offset(unit)
            guard unit >> 8 & 1 == 1 else { continue }
            guard node < units.count else { return nil }
            let start = Int(units[node] & 0x7FFF_FFFF)
            guard start < replacements.count else { return nil }
            return replacements[start...].prefix { $0 != 0 }
        }
        return nil
    }

    private func offset(_ unit: UInt32) -> Int { Int((unit >> 10) << ((unit & 0x200) >> 6)) }
}
