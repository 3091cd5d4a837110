import Digests
import Foundation

/// SHA-256 of files, kept for as long as path, size and modification time stand.
///
/// Digests are computed on a thread of their own, so that reading a large checkpoint does not hold up the first job.
public final class FileDigests: @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: `known` and `pending` are touched under `condition` alone.
    private struct Stamp: Hashable {
        let path: String
        let size: UInt64
        let modified: Date
    }

    private let condition = NSCondition()
    private var known: [Stamp: String] = [:]
    private var pending: Set<Stamp> = []

    public init() {}

    /// Starts computing what is not known yet.
    public func prepare(_ files: [URL]) {
        let stamps = files.compactMap { try? Self.stamp($0) }
        condition.lock()
        let missing = stamps.filter { known[$0] == nil && !pending.contains($0) }
        pending.formUnion(missing)
        condition.unlock()
        guard !missing.isEmpty else { return }
        let thread = Thread { [self] in
            for stamp in missing {
                let digest = try? Self.digest(of: stamp.path)
                condition.lock()
                if let digest { known[stamp] = digest }
                pending.remove(stamp)
                condition.broadcast()
                condition.unlock()
            }
        }
        thread.name = "digests"
        thread.start()
    }

    /// The digest of a file, computed if need be; waits for it.
    public func digest(_ file: URL) throws -> String {
        let stamp = try Self.stamp(file)
        condition.lock()
        while pending.contains(stamp) { condition.wait() }
        let found = known[stamp]
        condition.unlock()
        if let found { return found }
        let digest = try Self.digest(of: stamp.path)
        condition.lock()
        known[stamp] = digest
        condition.unlock()
        return digest
    }

    private static func stamp(_ file: URL) throws -> Stamp {
        let attributes = try FileManager.default.attributesOfItem(atPath: file.resolvingSymlinksInPath().path)
        return Stamp(
            path: file.resolvingSymlinksInPath().path, size: (attributes[.size] as? NSNumber)?.uint64Value ?? 0,
            modified: attributes[.modificationDate] as? Date ?? .distantPast)
    }

    private static func digest(of path: String) throws -> String {
        let handle = try FileHandle(forReadingFrom: URL(filePath: path))
        defer { try? handle.close() }
        var digest = Digest()
        while let part = try handle.read(upToCount: 1 << 22), !part.isEmpty {
            part.withUnsafeBytes { digest.add($0) }
        }
        return digest.hexadecimal
    }
}
