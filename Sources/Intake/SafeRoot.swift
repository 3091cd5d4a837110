import CSystem
import Glibc

/// A directory as the root of everything that is opened below it: no link is followed, nothing leaves the tree, nothing
/// but regular files is opened, and nothing that is opened can stall the service.
public final class SafeRoot: Sendable {
    /// Descriptor of the directory; owned.
    public let descriptor: Int32
    /// As given, for messages and for processes that need a path.
    public let path: String
    /// Whether a file with further names (hard links) is opened; see `HardLinks`.
    private let trustsHardLinks: Bool

    /// - Parameter trustsHardLinks: whether whoever linked a file here had the right to read it anyway.
    /// - Throws: `IntakeError` when there is no such directory.
    public init(path: String, trustsHardLinks: Bool = HardLinks.areProtected) throws(IntakeError) {
        let opened = Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard opened >= 0 else { throw IntakeError.system(errno, doing: "open the folder", name: path) }
        descriptor = opened
        self.path = path
        self.trustsHardLinks = trustsHardLinks
    }

    deinit { close(descriptor) }

    /// Opens a regular file for reading.
    ///
    /// Opening happens once and without blocking; a pipe, a socket, a device or a link is `unsafe`.
    public func open(_ path: RelativePath) throws(IntakeError) -> OpenFile {
        let opened = try openRaw(path, flags: O_RDONLY | O_NONBLOCK | O_NOCTTY, doing: "open")
        var status = stat()
        guard fstat(opened, &status) == 0 else {
            let number = errno
            close(opened)
            throw IntakeError.system(number, doing: "inspect", name: path.string)
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            close(opened)
            throw IntakeError(
                .unsafe, "\(path): not an ordinary file",
                hint: "Copy the file itself here; links, pipes and devices are not taken.")
        }
        guard trustsHardLinks || status.st_nlink <= 1 else {
            close(opened)
            throw IntakeError(
                .unsafe, "\(path): the file has another name elsewhere (a hard link)",
                hint: "Copy the file here instead of linking it, or set fs.protected_hardlinks to 1.")
        }
        return OpenFile(descriptor: opened, path: path, identity: FileIdentity(status))
    }

    /// The state of a regular file; nil when there is none of that name.
    public func observe(_ path: RelativePath) throws(IntakeError) -> ObservedFile? {
        let opened: Int32
        do {
            opened = try openRaw(path, flags: dropreel_o_path, doing: "inspect")
        } catch {
            if error.code == .absent { return nil }
            throw error
        }
        defer { close(opened) }
        var status = stat()
        guard fstat(opened, &status) == 0 else {
            throw IntakeError.system(errno, doing: "inspect", name: path.string)
        }
        guard status.st_mode & S_IFMT == S_IFREG else { return nil }
        return ObservedFile(path: path, identity: FileIdentity(status))
    }

    /// Opens a folder below the root (or the root itself); the caller closes the descriptor.
    public func openDirectory(_ path: RelativePath) throws(IntakeError) -> Int32 {
        try openRaw(path, flags: O_RDONLY | O_DIRECTORY, doing: "open the folder")
    }

    /// The folder of `path`, for calls on its last component. The closure gets the descriptor and the name.
    func withParent<Result>(
        of path: RelativePath, _ body: (Int32, String) throws(IntakeError) -> Result
    ) throws(IntakeError) -> Result {
        let name = path.name
        guard !name.isEmpty, name != ".", name != "..", name.utf8.count <= 255, !name.utf8.contains(0) else {
            throw IntakeError(.name, "\(path): not a usable name", hint: "Give it another name.")
        }
        let parent = try openDirectory(path.parent)
        defer { close(parent) }
        return try body(parent, name)
    }

    private func openRaw(_ path: RelativePath, flags: Int32, doing: String) throws(IntakeError) -> Int32 {
        let text = path.isRoot ? "." : path.string
        guard !text.utf8.contains(0) else {
            throw IntakeError(.name, "\(path): not a usable name", hint: "Give it another name.")
        }
        while true {
            let opened = dropreel_open_beneath(descriptor, text, flags, 0)
            if opened >= 0 { return opened }
            if errno != EINTR { throw IntakeError.system(errno, doing: doing, name: path.string) }
        }
    }

    /// Whether changes here can be watched, or only be found by looking.
    public var fileSystem: FileSystemKind {
        var kind = DROPREEL_FS_LOCAL
        var name = [CChar](repeating: 0, count: 16)
        guard dropreel_file_system_of(descriptor, &kind, &name) == 0 else { return .local(name: "unknown") }
        let text = name.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
        return switch kind {
        case DROPREEL_FS_NETWORK: .network(name: text)
        case DROPREEL_FS_FUSE: .fuse(name: text)
        default: .local(name: text)
        }
    }
}

/// How changes on a file system become known.
public enum FileSystemKind: Hashable, Sendable {
    /// inotify sees every change.
    case local(name: String)
    /// Changes made by other hosts raise no events: look regularly.
    case network(name: String)
    /// Depends on what is behind it: look regularly.
    case fuse(name: String)

    public var name: String {
        switch self {
        case .local(let name), .network(let name), .fuse(let name): name
        }
    }

    /// Whether inotify can be relied on.
    public var deliversEvents: Bool {
        if case .local = self { true } else { false }
    }
}
