import CFFmpeg
import Glibc

/// Writes RGB frames into an MP4 as they come: H.264 High, yuv420p, constant frame rate, bt709, index first (faststart).
///
/// The same frames and settings give the same bytes: nothing in the file depends on time, and the encoder's thread count
/// and instruction set are fixed. Encoded frames leave memory as they are written; the encoder holds a look-ahead of some
/// dozens. A writer belongs to one thread at a time. A file that was not finished is of no use and is the caller's to
/// remove; flushing to the disk is the caller's, too.
///
/// Sound, where there is some, is cut or falls silent with the last frame.
public final class VideoWriter {
    public let settings: VideoSettings
    private let path: String
    private let name: String
    private let marks: VideoMarks
    private let file: MP4File
    private let video: H264Stream
    private let audio: AACStream?
    private var isFinished = false
    private var failure: MediaError?

    /// - Parameters:
    ///   - path: where the film goes, in a staging folder; replaced if it exists.
    ///   - sound: muxed as AAC.
    /// - Throws: `MediaError`: `.unsupported` (settings, marks), `.unavailable` (no encoder), `.io`.
    public init(path: String, settings: VideoSettings, marks: VideoMarks, sound: Sound? = nil) throws {
        try settings.validate()
        try marks.validate()
        FFmpeg.begin()
        self.settings = settings
        self.path = path
        self.marks = marks
        name = path.split(separator: "/").last.map(String.init) ?? path
        file = try MP4File(path: path, name: name)
        video = try H264Stream(settings: settings, file: file)
        audio = try sound.map { [file] in try AACStream(sound: $0, file: file) }
        try file.begin(tags: [("comment", marks.comment), ("dropreel", marks.dropreel), ("AIGC", marks.aigc)])
    }

    /// - Parameter frame: `[height, width, 3]` RGB, top row first.
    /// - Precondition: `frame.count == settings.frameByteCount`; the writer is not finished.
    /// - Throws: `MediaError`, `.io` with the system's error number where writing fails. The writer is then spent:
    ///   every later call throws the same.
    public func append(_ frame: UnsafeRawBufferPointer) throws {
        precondition(!isFinished, "a finished film takes no more frames")
        precondition(frame.count == settings.frameByteCount, "a frame of another size")
        try attempt {
            try video.append(frame)
            try audio?.append(upTo: soundEnd)
        }
    }

    /// - Precondition, Throws: as for a buffer.
    public func append(_ frame: [UInt8]) throws {
        try frame.withUnsafeBytes { try append($0) }
    }

    /// Encodes what is still held back, moves the index to the front and appends the XMP packet.
    ///
    /// - Throws: `MediaError`; `.unsupported` where no frame was appended.
    public func finish() throws -> VideoSummary {
        precondition(!isFinished, "a film is finished once")
        guard video.frameCount > 0 else {
            throw MediaError(.unsupported, "\(name) has no frames", hint: "append at least one frame")
        }
        try attempt {
            try video.drain()
            try audio?.drain(at: soundEnd)
            try file.finish()
            try appendXMP()
        }
        isFinished = true
        let written = try OpenFile(path, flags: O_RDONLY)
        return VideoSummary(frameCount: video.frameCount, byteCount: try written.byteCount())
    }

    private var soundEnd: Int { Sound.sampleCount(videoFrames: video.frameCount, rate: settings.frameRate) }

    private func appendXMP() throws {
        let packet = Array(marks.xmp.utf8)
        let size = UInt32(8 + MP4Box.xmpType.count + packet.count)
        let box = withUnsafeBytes(of: size.bigEndian, Array.init) + Array("uuid".utf8) + MP4Box.xmpType + packet
        let end = try OpenFile(path, flags: O_WRONLY | O_APPEND)
        try box.withUnsafeBytes { try end.write($0) }
    }

    private func attempt(_ work: () throws -> Void) throws {
        if let failure { throw failure }
        FFmpeg.begin()
        do {
            try work()
        } catch let error as MediaError {
            failure = error
            throw error
        }
    }
}
