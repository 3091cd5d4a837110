import CFFmpeg
import Glibc

/// The bytes of a sound file as libavformat reads them: by their place, and nothing but them.
final class SoundSource {
    /// Fills the buffer from an offset on; returns how many bytes there were, or -1 with `errno` set.
    private let read: (_ offset: Int, _ buffer: UnsafeMutableRawBufferPointer) -> Int
    private let byteCount: Int
    private var position = 0
    /// Why reading failed, where the file is not to blame.
    private(set) var failure: Int32?

    /// - Parameters:
    ///   - descriptor: an open regular file; its position is neither used nor moved. Open for as long as this.
    ///   - byteCount: its size.
    init(descriptor: Int32, byteCount: Int) {
        self.byteCount = byteCount
        read = { offset, buffer in pread(descriptor, buffer.baseAddress, buffer.count, off_t(offset)) }
    }

    init(_ bytes: [UInt8]) {
        byteCount = bytes.count
        read = { offset, buffer in
            let piece = bytes[min(offset, bytes.count)..<min(offset + buffer.count, bytes.count)]
            buffer.copyBytes(from: piece)
            return piece.count
        }
    }

    /// The first bytes.
    func start(_ count: Int) throws -> [UInt8] {
        var filled = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: min(count, byteCount)) { buffer, initialized in
            while filled < buffer.count {
                let got = next(
                    at: filled,
                    UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[filled...]))
                guard got > 0 else { break }
                filled += got
            }
            initialized = filled
        }
        try throwFailure()
        return bytes
    }

    /// - Throws: `MediaError`, `.io`, where reading failed before.
    func throwFailure() throws {
        if let failure { throw MediaError.io("reading the sound", errno: failure) }
    }

    private func next(at offset: Int, _ buffer: UnsafeMutableRawBufferPointer) -> Int {
        while true {
            let count = read(offset, buffer)
            if count >= 0 { return count }
            guard errno == EINTR else {
                failure = errno
                return -1
            }
        }
    }

    // MARK: For libavformat

    /// Bytes that are read at once.
    private static let pieceByteCount = 32_768
    /// From libavformat's avio.h; macros that Swift sees as nothing.
    private static let (askSize, force): (Int32, Int32) = (0x10000, 0x20000)

    /// - Returns: a context that must end, with `SoundSource.close`, before this does; nil where there is no memory.
    func open() -> UnsafeMutablePointer<AVIOContext>? {
        guard let buffer = av_malloc(Self.pieceByteCount) else { return nil }
        let context = avio_alloc_context(
            buffer.assumingMemoryBound(to: UInt8.self), Int32(Self.pieceByteCount), 0,
            Unmanaged.passUnretained(self).toOpaque(),
            { SoundSource.from($0).fill($1, $2) }, nil, { SoundSource.from($0).seek($1, $2) })
        if context == nil { av_free(buffer) }
        return context
    }

    static func close(_ context: inout UnsafeMutablePointer<AVIOContext>?) {
        // libavformat may have put another buffer in the place of the first.
        if let context { av_freep(&context.pointee.buffer) }
        avio_context_free(&context)
    }

    private static func from(_ pointer: UnsafeMutableRawPointer?) -> SoundSource {
        Unmanaged<SoundSource>.fromOpaque(pointer!).takeUnretainedValue()
    }

    private func fill(_ buffer: UnsafeMutablePointer<UInt8>?, _ count: Int32) -> Int32 {
        guard let buffer, count > 0, position < byteCount else { return cffmpeg_error_eof() }
        let got = next(
            at: position,
            UnsafeMutableRawBufferPointer(start: buffer, count: min(Int(count), byteCount - position)))
        guard got != 0 else { return cffmpeg_error_eof() }
        guard got > 0 else { return cffmpeg_error(failure ?? EIO) }
        position += got
        return Int32(got)
    }

    private func seek(_ offset: Int64, _ whence: Int32) -> Int64 {
        let base: Int
        switch whence & ~Self.force {
        case Self.askSize: return Int64(byteCount)
        case SEEK_SET: base = 0
        case SEEK_CUR: base = position
        case SEEK_END: base = byteCount
        default: return Int64(cffmpeg_error(EINVAL))
        }
        let (target, overflow) = base.addingReportingOverflow(Int(offset))
        guard !overflow, target >= 0 else { return Int64(cffmpeg_error(EINVAL)) }
        position = target
        return Int64(target)
    }
}
