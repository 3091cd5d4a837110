import CSystem
import Digests
import Glibc

/// The service's own copy of an accepted input. All work is done on it, because clients overwrite files in place.
public struct Snapshot: Hashable, Sendable, Codable {
    /// Lower-case hexadecimal; also the copy's file name.
    public var sha256: String
    public var size: Int64
    /// The state of the input that was copied.
    public var identity: FileIdentity

    public init(sha256: String, size: Int64, identity: FileIdentity) {
        self.sha256 = sha256
        self.size = size
        self.identity = identity
    }

    /// Largest input, in bytes.
    public static let defaultLimit = 64 * 1024 * 1024

    /// Copies an open input into a folder under the name of its digest, on the disk when this returns.
    ///
    /// One descriptor is read once from start to end; its state must be `expected` before and after. A copy of the same
    /// bytes that is there already is used. A failed or torn copy leaves nothing behind.
    /// - Parameters:
    ///   - expected: the state that settled; nil takes the state at opening.
    ///   - isDurable: false for a copy that is needed no longer than its input stays where it is; it may be lost with
    ///     the power, and is faster.
    ///   - afterReading: called between the copy and the second look at the input; for tests.
    /// - Throws: `changed` when the input was written to meanwhile, `tooLarge`, `noSpace`, `io`. After an `io` error of
    ///   fsync nothing is retried on the same data.
    public static func take(
        _ file: OpenFile, expecting expected: FileIdentity? = nil, into folder: SafeRoot, limit: Int = defaultLimit,
        isDurable: Bool = true, afterReading: () -> Void = {}
    ) throws(IntakeError) -> Snapshot {
        let expected = expected ?? file.identity
        guard !file.identity.mayDifferInContent(from: expected) else { throw changed(file) }
        guard expected.size <= Int64(limit) else { throw tooLarge(file, limit) }
        let temporary = ".\(UInt64.random(in: 0...UInt64.max)).part"
        let copy = openat(
            folder.descriptor, temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o640)
        guard copy >= 0 else { throw IntakeError.system(errno, doing: "copy", name: file.path.string) }
        do throws(IntakeError) {
            defer { close(copy) }
            let digest = try copyBytes(file, to: copy, limit: limit)
            afterReading()
            let now = try file.currentIdentity()
            guard !now.mayDifferInContent(from: expected), digest.size == expected.size else { throw changed(file) }
            if isDurable, fsync(copy) != 0 {
                throw IntakeError.system(errno, doing: "store", name: file.path.string)
            }
            try keep(temporary, as: digest.sha256, in: folder, name: file.path.string, isDurable: isDurable)
            return Snapshot(sha256: digest.sha256, size: digest.size, identity: expected)
        } catch {
            unlinkat(folder.descriptor, temporary, 0)
            throw error
        }
    }

    private static func keep(
        _ temporary: String, as digest: String, in folder: SafeRoot, name: String, isDurable: Bool
    ) throws(IntakeError) {
        // Same digest, same bytes: replacing an older copy changes nothing for whoever reads it.
        guard renameat(folder.descriptor, temporary, folder.descriptor, digest) == 0 else {
            throw IntakeError.system(errno, doing: "store", name: name)
        }
        guard !isDurable || fsync(folder.descriptor) == 0 else {
            throw IntakeError.system(errno, doing: "store", name: name)
        }
    }

    private static func copyBytes(
        _ file: OpenFile, to copy: Int32, limit: Int
    ) throws(IntakeError) -> (sha256: String, size: Int64) {
        // Where blocks can be shared, the clone is one moment of the file; it is then read from the copy.
        let cloned = dropreel_clone(file.descriptor, copy) == 0
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 * 1024, alignment: 4096)
        defer { buffer.deallocate() }
        var digest = Digest()
        var offset: Int64 = 0
        while true {
            let count = pread(cloned ? copy : file.descriptor, buffer.baseAddress, buffer.count, off_t(offset))
            if count < 0 {
                if errno == EINTR { continue }
                throw IntakeError.system(errno, doing: "read", name: file.path.string)
            }
            if count == 0 { return (digest.hexadecimal, offset) }
            let bytes = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<count])
            digest.add(bytes)
            offset += Int64(count)
            guard offset <= Int64(limit) else { throw tooLarge(file, limit) }
            if cloned { continue }
            let failure = RawIO.writeAll(copy, bytes)
            guard failure == 0 else { throw IntakeError.system(failure, doing: "copy", name: file.path.string) }
        }
    }

    private static func changed(_ file: OpenFile) -> IntakeError {
        IntakeError(
            .changed, "\(file.path): changed while it was read", hint: "It is taken again once it is complete.")
    }

    private static func tooLarge(_ file: OpenFile, _ limit: Int) -> IntakeError {
        IntakeError(
            .tooLarge, "\(file.path): more than \(limit / (1024 * 1024)) MiB", hint: "Use a smaller file.")
    }
}
