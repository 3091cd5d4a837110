/// Makes small PNG files by hand, with any chunks.
struct PNGBuilder {
    var bytes: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]

    init(width: Int, height: Int, depth: UInt8, colorType: UInt8) {
        chunk("IHDR", be32(width) + be32(height) + [depth, colorType, 0, 0, 0])
    }

    mutating func chunk(_ type: String, _ payload: [UInt8]) {
        let body = Array(type.utf8) + payload
        bytes += be32(payload.count) + body + be32(Int(Self.crc(body)))
    }

    /// - Parameter rows: samples of each row, without the filter byte.
    mutating func finish(rows: [[UInt8]]) {
        var raw: [UInt8] = []
        for row in rows {
            raw.append(0)
            raw += row
        }
        let count = UInt16(raw.count)
        var a = 1
        var b = 0
        for byte in raw {
            a = (a + Int(byte)) % 65_521
            b = (b + a) % 65_521
        }
        var stored: [UInt8] = [0x78, 0x01, 0x01]
        for value in [count, ~count] { stored += [UInt8(value & 255), UInt8(value >> 8)] }
        stored += raw
        chunk("IDAT", stored + be32(b << 16 | a))
        chunk("IEND", [])
    }

    private static func crc(_ bytes: [UInt8]) -> UInt32 {
        var crc: UInt32 = 0xFFFF_FFFF
        for byte in bytes {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = crc & 1 == 1 ? 0xEDB8_8320 ^ (crc >> 1) : crc >> 1 }
        }
        return ~crc
    }
}

func be32(_ value: Int) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) } }
