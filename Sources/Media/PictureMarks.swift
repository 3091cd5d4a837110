import Glibc

/// What a picture says about its own origin: marks found, nothing proven. No signature is checked.
///
/// Source: XMP specification part 3, sections 1.1.3 (JPEG) and 1.1.5 (PNG); C2PA specification 2.1, annex A.3 (JPEG APP11,
/// PNG `caBX`); ISO/IEC 19566-5 (JUMBF).
public struct PictureMarks: Equatable, Sendable {
    /// An XMP packet is there.
    public var hasXMP = false
    /// The packet's IPTC DigitalSourceType, as an address.
    public var digitalSourceType: String?
    /// A C2PA manifest is there.
    public var hasC2PAManifest = false

    public init() {}

    private static let segmentLimit = 65_536
    private static let packetLimit = 1 << 20

    /// - Parameter path: a JPEG or PNG; only its headers are read. What cannot be understood has no marks.
    /// - Throws: `MediaError`: `.io`.
    public static func read(path: String) throws -> PictureMarks {
        let file = try OpenFile(path, flags: O_RDONLY | O_NONBLOCK)
        return read(try ByteWindow(file))
    }

    static func read(_ window: ByteWindow) -> PictureMarks {
        var marks = PictureMarks()
        do {
            switch try FileKind.of(try window.bytes(at: 0, upTo: 4_096)) {
            case .jpeg: try marks.readJPEG(window)
            case .png: try marks.readPNG(window)
            }
        } catch {
            // A damaged end takes nothing from what was found before it.
        }
        return marks
    }

    private mutating func readJPEG(_ window: ByteWindow) throws {
        var offset = 2
        for _ in 0..<Self.segmentLimit {
            let head = try window.bytes(at: offset, 4)
            guard head[0] == 0xFF else { return }
            let marker = head[1]
            if marker == 0xFF || marker == 0x01 || (0xD0...0xD7).contains(marker) {
                offset += marker == 0xFF ? 1 : 2
                continue
            }
            // Pictures begin; marks stand before them.
            if marker == 0xDA || marker == 0xD9 { return }
            let length = head.bigEndian16(2)
            guard length >= 2 else { return }
            if marker == 0xE1 {
                let name = "http://ns.adobe.com/xap/1.0/"
                let segment = try window.bytes(at: offset + 4, length - 2)
                if segment.hasPrefix(name) { take(packet: segment.dropFirst(name.utf8.count + 1)) }
            }
            if marker == 0xEB {
                let segment = try window.bytes(at: offset + 4, min(length - 2, 128))
                if segment.hasPrefix("JP"), segment.hasPrefix("jumb", at: 12), Self.contains("c2pa", segment[...]) {
                    hasC2PAManifest = true
                }
            }
            offset += 2 + length
        }
    }

    private mutating func readPNG(_ window: ByteWindow) throws {
        var offset = 8
        for _ in 0..<Self.segmentLimit {
            let head = try window.bytes(at: offset, 8)
            let length = head.bigEndian32(0)
            guard length <= 0x7FFF_FFFF else { return }
            if head.hasPrefix("IEND", at: 4) { return }
            if head.hasPrefix("caBX", at: 4) { hasC2PAManifest = true }
            let name = "XML:com.adobe.xmp\0"
            if head.hasPrefix("iTXt", at: 4), length >= name.utf8.count + 4, length <= Self.packetLimit {
                let chunk = try window.bytes(at: offset + 8, length)
                // Keyword, compression flag and method, language, translated keyword.
                if chunk.hasPrefix(name) {
                    let rest = chunk.dropFirst(name.utf8.count)
                    let isPlain = rest.first == 0
                    let text = rest.dropFirst(2).drop { $0 != 0 }.dropFirst().drop { $0 != 0 }.dropFirst()
                    hasXMP = true
                    if isPlain { take(packet: text) }
                }
            }
            offset += 12 + length
        }
    }

    private mutating func take(packet: ArraySlice<UInt8>) {
        hasXMP = true
        if digitalSourceType == nil { digitalSourceType = Self.sourceType(in: packet) }
    }

    /// The address behind `DigitalSourceType`, as an attribute, an element or a resource.
    private static func sourceType(in packet: ArraySlice<UInt8>) -> String? {
        guard let name = position(of: "DigitalSourceType", in: packet) else { return nil }
        let rest = packet[name...].dropFirst("DigitalSourceType".utf8.count).prefix(512)
        guard let start = position(of: "http", in: rest) else { return nil }
        let address = rest[start...].prefix { $0 > 0x20 && $0 < 0x7F && ![0x22, 0x27, 0x3C, 0x3E].contains($0) }
        guard address.count <= 200, contains("digitalsourcetype/", address) else { return nil }
        return String(decoding: address, as: UTF8.self)
    }

    private static func contains(_ text: String, _ bytes: ArraySlice<UInt8>) -> Bool {
        position(of: text, in: bytes) != nil
    }

    private static func position(of text: String, in bytes: ArraySlice<UInt8>) -> Int? {
        let wanted = Array(text.utf8)
        guard bytes.count >= wanted.count else { return nil }
        return (bytes.startIndex...(bytes.endIndex - wanted.count)).first { at in
            bytes[at] == wanted[0] && bytes[at..<(at + wanted.count)].elementsEqual(wanted)
        }
    }
}
