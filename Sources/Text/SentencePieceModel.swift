import CSentencePiece

/// A SentencePiece model, through the library.
final class SentencePieceModel: @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: the library's processor is not changed after loading, and its const
    // operations may be called from several threads.
    private let model: OpaquePointer
    /// The table that normalises text, empty where the model has none.
    let normalizer: [UInt8]

    /// - Parameter path: for errors.
    init(_ bytes: [UInt8], path: String) throws(TextError) {
        var reason = [CChar](repeating: 0, count: 512)
        guard let model = sentence_piece_load(bytes, bytes.count, &reason, reason.count) else {
            let text = String(decoding: reason.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
            throw TextError(
                code: .malformed, message: "\(path): not a SentencePiece model: \(text)",
                hint: "fetch the tokenizer again")
        }
        self.model = model
        // ModelProto.normalizer_spec = 3, NormalizerSpec.precompiled_charsmap = 2.
        normalizer = Array(protobufField(2, in: protobufField(3, in: bytes[...]) ?? []) ?? [])
    }

    deinit { sentence_piece_free(model) }

    var count: Int { Int(sentence_piece_count(model)) }
    /// -1 where the model defines none.
    var unknownID: Int32 { sentence_piece_unknown_id(model) }
    /// -1 where the model defines none.
    var endID: Int32 { sentence_piece_end_id(model) }

    func score(_ id: Int) -> Float { sentence_piece_score(model, Int32(id)) }

    func text(_ id: Int) -> [UInt8] {
        var length = 0
        guard let start = sentence_piece_text(model, Int32(id), &length) else { return [] }
        return Array(UnsafeRawBufferPointer(start: start, count: length))
    }

    /// The first `limit` ids of `text` as the library splits it.
    func encode(_ text: String, limit: Int) -> [Int32] {
        var ids = [Int32](repeating: 0, count: limit)
        var text = text
        let count = text.withUTF8 { bytes in
            bytes.withMemoryRebound(to: CChar.self) { characters in
                // An empty buffer may have no address.
                characters.baseAddress.map { sentence_piece_encode(model, $0, characters.count, &ids, limit) } ?? 0
            }
        }
        return Array(ids.prefix(min(limit, max(0, Int(count)))))
    }
}

/// The bytes of length-delimited field `number` of a protobuf message; nil where it is missing or the message is broken.
private func protobufField(_ number: UInt64, in message: ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
    var rest = message
    func varint() -> UInt64? {
        var value: UInt64 = 0
        for shift in stride(from: 0, to: 64, by: 7) {
            guard let byte = rest.popFirst() else { return nil }
            value |= UInt64(byte & 0x7F) << UInt64(shift)
            if byte & 0x80 == 0 { return value }
        }
        return nil
    }
    while let key = varint() {
        switch key & 7 {
        case 0: guard varint() != nil else { return nil }
        case 1, 5:
            let size = key & 7 == 1 ? 8 : 4
            guard rest.count >= size else { return nil }
            rest = rest.dropFirst(size)
        case 2:
            guard let length = varint(), length <= UInt64(rest.count) else { return nil }
            if key >> 3 == number { return rest.prefix(Int(length)) }
            rest = rest.dropFirst(Int(length))
        default: return nil
        }
    }
    return nil
}
