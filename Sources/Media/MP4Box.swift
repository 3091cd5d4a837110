/// One box of an MP4 file, by its place; nothing of its payload is held.
///
/// Source: ISO/IEC 14496-12, section 4.2.
struct MP4Box {
    /// The extended type of a box that holds an XMP packet (XMP specification part 3, section 1.1.5).
    static let xmpType: [UInt8] = [
        0xBE, 0x7A, 0xCF, 0xCB, 0x97, 0xA9, 0x42, 0xE8, 0x9C, 0x71, 0x99, 0x94, 0x91, 0xE3, 0xAF, 0xAC,
    ]

    /// Four characters, in Latin-1.
    let type: String
    let start: Int
    /// Where the payload begins.
    let body: Int
    let end: Int
}

/// Walks boxes under a budget, so that a hostile file costs bounded time.
struct MP4Boxes {
    private let window: ByteWindow
    private var budget = 20_000

    init(_ window: ByteWindow) { self.window = window }

    var byteCount: Int { window.count }

    /// The boxes that fill `start..<end`.
    ///
    /// - Throws: `.incomplete` where a top-level box reaches beyond the file, `.corrupt` where a box reaches beyond its
    ///   parent, `.tooLarge` where the budget is spent.
    mutating func boxes(from start: Int, to end: Int) throws -> [MP4Box] {
        var found: [MP4Box] = []
        var offset = start
        while end - offset >= 8 {
            budget -= 1
            guard budget > 0 else {
                throw MediaError(.tooLarge, "the film has too many parts", hint: "save the film again")
            }
            let head = try window.bytes(at: offset, 8)
            var size = head.bigEndian32(0)
            var body = offset + 8
            if size == 1 {
                let long = try window.bytes(at: offset + 8, 8)
                guard long.bigEndian32(0) <= 0x7FFF_FFFF else { throw Self.corrupt("a part of impossible size") }
                size = long.bigEndian32(0) << 32 | long.bigEndian32(4)
                body += 8
            } else if size == 0 {
                size = end - offset
            }
            guard size >= body - offset else { throw Self.corrupt("a part of impossible size") }
            guard size <= end - offset else {
                throw end == window.count ? Self.incomplete : Self.corrupt("a part that reaches beyond its whole")
            }
            let type = String(String.UnicodeScalarView(head[4...].map(Unicode.Scalar.init)))
            found.append(MP4Box(type: type, start: offset, body: body, end: offset + size))
            offset += size
        }
        return found
    }

    mutating func children(of box: MP4Box, skipping count: Int = 0) throws -> [MP4Box] {
        guard box.body + count <= box.end else { throw Self.corrupt("a part that is too short") }
        return try boxes(from: box.body + count, to: box.end)
    }

    /// The first box of a path of types below `box`.
    mutating func descend(_ box: MP4Box, _ path: String...) throws -> MP4Box? {
        var current = box
        for type in path {
            guard let next = try children(of: current).first(where: { $0.type == type }) else { return nil }
            current = next
        }
        return current
    }

    /// `count` bytes of a box's payload from `offset` on.
    func bytes(of box: MP4Box, at offset: Int, _ count: Int) throws -> [UInt8] {
        guard count >= 0, offset >= 0, count <= box.end - box.body - offset else {
            throw Self.corrupt("a part that is too short")
        }
        return try window.bytes(at: box.body + offset, count)
    }

    /// The payload of a box from `offset` on, where it is no longer than `limit`.
    func payload(of box: MP4Box, from offset: Int = 0, limit: Int) throws -> [UInt8] {
        let count = box.end - box.body - offset
        guard count <= limit else {
            throw MediaError(
                .tooLarge, "the film's \(box.type) holds \(count) bytes; at most \(limit) are read",
                hint: "save the film again")
        }
        return try bytes(of: box, at: offset, count)
    }

    static let incomplete = MediaError(
        .incomplete, "the film is not complete", hint: "copy the file again, or wait until the copy has finished")

    static func corrupt(_ what: String) -> MediaError {
        MediaError(.corrupt, "the film is damaged: \(what)", hint: "copy the file again")
    }
}
