/// The steps of a fast tokenizer: special tokens out of the text, then normalisation, words and pieces of the rest.
struct FastTokenizer: Sendable {
    private let settings: TokenizerSettings
    private let normalizer: PrecompiledNormalizer?
    private let lattice: UnigramLattice
    /// Special tokens by first character, longest first.
    private let tokensByStart: [Unicode.Scalar: [TokenizerSettings.Token]]

    /// U+2581, which stands for a space.
    private static let space: [UInt8] = [0xE2, 0x96, 0x81]

    init(
        _ model: SentencePieceModel, _ settings: TokenizerSettings, byteFallback: Bool, path: String
    ) throws(TextError) {
        self.settings = settings
        normalizer = model.normalizer.isEmpty ? nil : PrecompiledNormalizer(model.normalizer)
        guard model.normalizer.isEmpty || normalizer != nil else {
            throw TextError(
                code: .malformed, message: "\(path): its normalisation table is broken",
                hint: "fetch the tokenizer again")
        }
        lattice = UnigramLattice(
            pieces: (0..<model.count).map { (model.text($0), model.score($0)) }, unknownID: settings.unknownID,
            byteFallback: byteFallback)
        tokensByStart = Dictionary(grouping: settings.tokens) { $0.content[0] }
            .mapValues { $0.sorted { $0.content.count > $1.content.count } }
    }

    /// The first `limit` ids of `text`.
    func encode(_ text: String, limit: Int) -> [Int32] {
        let scalars = Array(text.unicodeScalars)
        var ids: [Int32] = []
        var done = 0
        var i = 0
        while i < scalars.count, ids.count < limit {
            guard let token = token(in: scalars, at: i) else {
                i += 1
                continue
            }
            var (start, end) = (i, i + token.content.count)
            while token.stripsLeft, start > done, scalars[start - 1].isTextSpace { start -= 1 }
            while token.stripsRight, end < scalars.count, scalars[end].isTextSpace { end += 1 }
            encode(scalars[done..<start], isFirst: done == 0, limit: limit, into: &ids)
            ids.append(token.id)
            done = end
            i = end
        }
        encode(scalars[done...], isFirst: done == 0, limit: limit, into: &ids)
        return Array(ids.prefix(limit))
    }

    private func token(in text: [Unicode.Scalar], at start: Int) -> TokenizerSettings.Token? {
        tokensByStart[text[start]]?.first { token in
            guard text[start...].starts(with: token.content) else { return false }
            guard token.isWord else { return true }
            let end = start + token.content.count
            return (start == 0 || !text[start - 1].isWord) && (end == text.count || !text[end].isWord)
        }
    }

    private func encode(_ text: ArraySlice<Unicode.Scalar>, isFirst: Bool, limit: Int, into ids: inout [Int32]) {
        guard !text.isEmpty else { return }
        var start = 0
        let bytes = spaced(normalized(string(Array(text))), isFirst: isFirst)
        while start < bytes.count, ids.count < limit {
            var end = start + 1
            while end < bytes.count, !(settings.splits && bytes[end...].starts(with: Self.space)) { end += 1 }
            ids += lattice.encode(bytes[start..<end])
            start = end
        }
    }

    /// Normalised, without white space at the end, every run of two or more spaces as U+2581.
    private func normalized(_ text: String) -> [UInt8] {
        let bytes = normalizer?.normalize(text) ?? Array(text.utf8)
        var scalars = Array(String(decoding: bytes, as: UTF8.self).unicodeScalars)
        while scalars.last?.properties.isWhitespace == true { scalars.removeLast() }
        var output: [UInt8] = []
        output.reserveCapacity(bytes.count)
        var i = 0
        while i < scalars.count {
            if scalars[i] == " ", i + 1 < scalars.count, scalars[i + 1] == " " {
                while i < scalars.count, scalars[i] == " " { i += 1 }
                output += Self.space
            } else {
                output += Array(String(scalars[i]).utf8)
                i += 1
            }
        }
        return output
    }

    /// Spaces as U+2581, and one in front where the settings want it.
    private func spaced(_ text: [UInt8], isFirst: Bool) -> [UInt8] {
        guard !text.isEmpty else { return [] }
        var output: [UInt8] = []
        output.reserveCapacity(text.count + text.count / 2)
        for byte in text { if byte == 0x20 { output += Self.space } else { output.append(byte) } }
        let wantsPrefix = settings.prefix == .always || (settings.prefix == .first && isFirst)
        return wantsPrefix && !output.starts(with: Self.space) ? Self.space + output : output
    }
}
