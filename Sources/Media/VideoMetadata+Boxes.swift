/// Where the facts stand in the boxes.
///
/// Source: ISO/IEC 14496-12 (moov), ISO/IEC 14496-15 (avcC), QuickTime File Format, "Metadata" (keys, ilst).
extension VideoMetadata {
    private static let keyLimit = 256

    static func read(_ window: ByteWindow) throws -> VideoMetadata {
        let start = try window.bytes(at: 0, upTo: 12)
        guard start.hasPrefix("ftyp", at: 4) else {
            if start.count < 8 || start.allSatisfy({ $0 == 0 }) { throw MP4Boxes.incomplete }
            throw MediaError(.notAnImage, "not an MP4 film", hint: "use a film that was made here")
        }
        var boxes = MP4Boxes(window)
        let top = try boxes.boxes(from: 0, to: window.count)
        guard let movie = top.first(where: { $0.type == "moov" }) else { throw MP4Boxes.incomplete }
        var result = VideoMetadata()
        if let pictures = top.first(where: { $0.type == "mdat" }) { result.isFastStart = movie.start < pictures.start }
        for box in top where box.type == "uuid" && box.end - box.body >= MP4Box.xmpType.count {
            guard try boxes.bytes(of: box, at: 0, MP4Box.xmpType.count) == MP4Box.xmpType else { continue }
            let packet = try boxes.payload(of: box, from: MP4Box.xmpType.count, limit: VideoMarks.byteLimit)
            result.xmp = String(decoding: packet, as: UTF8.self)
        }
        let parts = try boxes.children(of: movie)
        for track in parts where track.type == "trak" {
            if result.codec.isEmpty { try result.readTrack(track, &boxes) }
            if result.sound == nil { try result.readSound(track, &boxes) }
        }
        guard !result.codec.isEmpty else {
            throw MediaError(.unsupported, "the film has no pictures", hint: "use a film that was made here")
        }
        for holder in parts where holder.type == "udta" || holder.type == "meta" {
            let meta = holder.type == "meta" ? holder : try boxes.children(of: holder).first { $0.type == "meta" }
            if let meta { try result.readTags(meta, &boxes) }
        }
        return result
    }

    private mutating func readTrack(_ track: MP4Box, _ boxes: inout MP4Boxes) throws {
        guard let media = try boxes.descend(track, "mdia"), let handler = try boxes.descend(media, "hdlr"),
            try boxes.bytes(of: handler, at: 8, 4).hasPrefix("vide"),
            let header = try boxes.descend(media, "mdhd"), let table = try boxes.descend(media, "minf", "stbl"),
            let descriptions = try boxes.descend(table, "stsd")
        else { return }
        guard let entry = try boxes.children(of: descriptions, skipping: 8).first else { return }
        let sizes = try boxes.bytes(of: entry, at: 24, 4)
        codec = entry.type
        width = sizes.bigEndian16(0)
        height = sizes.bigEndian16(2)
        for box in try boxes.children(of: entry, skipping: 78) {
            if box.type == "avcC" { profile = Int(try boxes.bytes(of: box, at: 1, 1)[0]) }
            if box.type == "colr", box.end - box.body >= 11, try boxes.bytes(of: box, at: 0, 4).hasPrefix("nclx") {
                let codes = try boxes.bytes(of: box, at: 4, 7)
                color = Color(
                    primaries: codes.bigEndian16(0), transfer: codes.bigEndian16(2), matrix: codes.bigEndian16(4),
                    isFullRange: codes[6] & 0x80 != 0)
            }
        }
        if let samples = try boxes.descend(table, "stsz") {
            frameCount = try boxes.bytes(of: samples, at: 8, 4).bigEndian32(0)
        }
        if let times = try boxes.descend(table, "stts"), try boxes.bytes(of: times, at: 4, 4).bigEndian32(0) == 1 {
            let version = try boxes.bytes(of: header, at: 0, 1)[0]
            let timescale = try boxes.bytes(of: header, at: version == 1 ? 20 : 12, 4).bigEndian32(0)
            let duration = try boxes.bytes(of: times, at: 12, 4).bigEndian32(0)
            if let ticks = Int32(exactly: timescale), let step = Int32(exactly: duration), ticks > 0, step > 0 {
                frameRate = FrameRate(ticks, over: step)
            }
        }
    }

    private mutating func readSound(_ track: MP4Box, _ boxes: inout MP4Boxes) throws {
        guard let media = try boxes.descend(track, "mdia"), let handler = try boxes.descend(media, "hdlr"),
            try boxes.bytes(of: handler, at: 8, 4).hasPrefix("soun"), let header = try boxes.descend(media, "mdhd"),
            let descriptions = try boxes.descend(media, "minf", "stbl", "stsd"),
            let entry = try boxes.children(of: descriptions, skipping: 8).first,
            try boxes.bytes(of: header, at: 0, 1)[0] == 0
        else { return }
        let timescale = try boxes.bytes(of: header, at: 12, 4).bigEndian32(0)
        let duration = try boxes.bytes(of: header, at: 16, 4).bigEndian32(0)
        sound = SoundTrack(codec: entry.type, seconds: timescale > 0 ? Double(duration) / Double(timescale) : 0)
    }

    /// Keys by number (`keys`, `ilst`), and the older four-letter comment.
    private mutating func readTags(_ meta: MP4Box, _ boxes: inout MP4Boxes) throws {
        // QuickTime's `meta` holds boxes, ISO's a version before them.
        let isPlain = try meta.end - meta.body >= 8 && boxes.bytes(of: meta, at: 4, 4).hasPrefix("hdlr")
        let parts = try boxes.children(of: meta, skipping: isPlain ? 0 : 4)
        guard let list = parts.first(where: { $0.type == "ilst" }) else { return }
        let names = try parts.first { $0.type == "keys" }.map { try Self.readKeys($0, boxes) } ?? []
        for item in try boxes.children(of: list).prefix(Self.keyLimit) {
            let number = item.type.unicodeScalars.reduce(0) { $0 << 8 | Int($1.value) }
            let name: String
            if (1...max(1, names.count)).contains(number), !names.isEmpty {
                name = names[number - 1]
            } else if item.type == "\u{A9}cmt" {
                name = "comment"
            } else {
                continue
            }
            guard let data = try boxes.children(of: item).first(where: { $0.type == "data" }) else { continue }
            let isText = try boxes.bytes(of: data, at: 0, 4).bigEndian32(0) == 1
            guard isText, tags[name] == nil else { continue }
            tags[name] = String(
                decoding: try boxes.payload(of: data, from: 8, limit: VideoMarks.byteLimit), as: UTF8.self)
        }
    }

    private static func readKeys(_ box: MP4Box, _ boxes: MP4Boxes) throws -> [String] {
        let bytes = try boxes.payload(of: box, limit: 1 << 16)
        guard bytes.count >= 8 else { throw MP4Boxes.corrupt("a list of keys without a count") }
        var names: [String] = []
        var offset = 8
        for _ in 0..<min(bytes.bigEndian32(4), keyLimit) {
            guard offset + 8 <= bytes.count else { throw MP4Boxes.corrupt("a list of keys that is too short") }
            let size = bytes.bigEndian32(offset)
            guard size >= 8, size <= bytes.count - offset else { throw MP4Boxes.corrupt("a key of impossible size") }
            names.append(String(decoding: bytes[(offset + 8)..<(offset + size)], as: UTF8.self))
            offset += size
        }
        return names
    }
}
