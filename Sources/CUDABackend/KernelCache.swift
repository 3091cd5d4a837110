import CUDADriver
import Digests
import Foundation

/// Machine code kept on disk: compiled once for a source, an architecture and a compiler.
///
/// A file is named by the hash of all three, begins with the hash of its code and appears whole (written beside and
/// renamed). One that does not fit its hash is made again. Without a folder, or where it cannot be written, kernels are
/// compiled at every start.
public struct KernelCache: Sendable {
    public let folder: URL?

    /// - Parameter folder: nil for `$XDG_CACHE_HOME/dropreel/kernels` or `~/.cache/dropreel/kernels`.
    public init(folder: URL? = nil) {
        self.folder = folder ?? Self.standard
    }

    private static var standard: URL? {
        let environment = ProcessInfo.processInfo.environment
        let base = environment["XDG_CACHE_HOME"] ?? environment["HOME"].map { $0 + "/.cache" }
        return base.flatMap { $0.hasPrefix("/") ? URL(fileURLWithPath: $0 + "/dropreel/kernels") : nil }
    }

    /// The code of `source`, from disk if it was compiled before.
    ///
    /// - Throws: `CUDAError` "compile".
    public func code(of source: KernelSource, architecture: String, compiler: KernelCompiler) throws
        -> (code: [UInt8], wasKept: Bool)
    {
        let headers = KernelSource.headers.sorted { $0.key < $1.key }.map { $0.key + "\0" + $0.value }
        let key = Self.hash(
            Array(([compiler.version, architecture, source.text] + headers).joined(separator: "\0").utf8))
        let file = folder?.appending(path: "\(source.name)-\(architecture)-\(key.prefix(32)).cubin")
        if let file, let kept = try? [UInt8](Data(contentsOf: file)), kept.count > 64,
            Array(kept.prefix(64)) == Array(Self.hash(Array(kept.dropFirst(64))).utf8)
        {
            return (Array(kept.dropFirst(64)), true)
        }
        let code = try compiler.compile(
            name: source.name, source: source.text, headers: KernelSource.headers, architecture: architecture)
        if let file { keep(code, file) }
        return (code, false)
    }

    private func keep(_ code: [UInt8], _ file: URL) {
        let folder = file.deletingLastPathComponent()
        try? FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        // A failure costs a compilation at the next start, no more.
        try? Data(Array(Self.hash(code).utf8) + code).write(to: file, options: .atomic)
    }

    /// SHA-256 in hexadecimal, 64 characters.
    static func hash(_ bytes: [UInt8]) -> String { Digest.of(bytes) }
}
