/// Bytes of a file or of memory, read piece by piece, so that looking at headers costs no more memory than the headers.
struct ByteWindow {
    let count: Int
    private let load: (_ offset: Int, _ count: Int) throws -> [UInt8]

    init(count: Int, load: @escaping (_ offset: Int, _ count: Int) throws -> [UInt8]) {
        self.count = count
        self.load = load
    }

    /// - Parameter bytes: must outlive the window.
    init(_ bytes: UnsafeRawBufferPointer) {
        self.init(count: bytes.count) { [UInt8](bytes[$0..<($0 + $1)]) }
    }

    /// - Parameter file: must outlive the window.
    init(_ file: borrowing OpenFile) throws {
        let descriptor = file.descriptor
        let name = file.name
        self.init(count: try file.byteCount()) { offset, count in
            try OpenFile.read(descriptor, name: name, at: offset, count: count)
        }
    }

    /// Up to `length` bytes at `offset`; fewer only at the end.
    func bytes(at offset: Int, upTo length: Int) throws -> [UInt8] {
        guard offset >= 0, offset < count else { return [] }
        return try load(offset, min(length, count - offset))
    }

    /// Exactly `length` bytes at `offset`.
    ///
    /// - Throws: `MediaError` with code `.incomplete` where the data ends before.
    func bytes(at offset: Int, _ length: Int) throws -> [UInt8] {
        let found = try bytes(at: offset, upTo: length)
        guard found.count == length else { throw MediaError.incompletePicture }
        return found
    }
}

extension ByteWindow {
    private static let pageByteCount = 4_096
    private static let tailByteCount = 512

    /// What a `.corrupt` error really is: `.incomplete` where a part of the file was never written.
    ///
    /// A page of zeros on a page boundary, or a tail of zeros: compressed data never looks so; a copy that broke off
    /// after its size was set does.
    func unlessUnwritten(_ error: MediaError) throws -> MediaError {
        guard error.code == .corrupt else { return error }
        if count > Self.tailByteCount, isZero(try bytes(at: count - Self.tailByteCount, Self.tailByteCount)) {
            return .incompletePicture
        }
        for start in stride(from: 0, through: count - Self.pageByteCount, by: Self.pageByteCount)
        where isZero(try bytes(at: start, Self.pageByteCount)) {
            return .incompletePicture
        }
        return error
    }

    private func isZero(_ bytes: [UInt8]) -> Bool { bytes.allSatisfy { $0 == 0 } }
}

extension MediaError {
    static let incompletePicture = MediaError(
        .incomplete, "the picture is not complete", hint: "copy the file again, or wait until the copy has finished")
}

extension [UInt8] {
    func bigEndian16(_ at: Int) -> Int { Int(self[at]) << 8 | Int(self[at + 1]) }

    func bigEndian32(_ at: Int) -> Int { bigEndian16(at) << 16 | bigEndian16(at + 2) }

    func littleEndian16(_ at: Int) -> Int { Int(self[at + 1]) << 8 | Int(self[at]) }

    func littleEndian32(_ at: Int) -> Int { littleEndian16(at + 2) << 16 | littleEndian16(at) }

    func hasPrefix(_ text: String, at offset: Int = 0) -> Bool {
        let wanted = Array(text.utf8)
        return offset >= 0 && count - offset >= wanted.count
            && self[offset..<(offset + wanted.count)].elementsEqual(wanted)
    }
}
