import Glibc

/// What tells one state of a file from another without reading it.
public struct FileIdentity: Hashable, Sendable, Codable {
    public var device: UInt64
    public var inode: UInt64
    /// Bytes.
    public var size: Int64
    /// Nanoseconds since 1970; content was last changed (clients may set it to anything).
    public var modified: Int64
    /// Nanoseconds since 1970; content or attributes were last changed (nobody can set it).
    public var changed: Int64
    /// Units of 512 bytes that the file occupies.
    public var blocks: Int64

    public init(device: UInt64, inode: UInt64, size: Int64, modified: Int64, changed: Int64, blocks: Int64) {
        self.device = device
        self.inode = inode
        self.size = size
        self.modified = modified
        self.changed = changed
        self.blocks = blocks
    }

    init(_ status: stat) {
        self.init(
            device: UInt64(status.st_dev), inode: UInt64(status.st_ino), size: Int64(status.st_size),
            modified: Self.nanoseconds(status.st_mtim), changed: Self.nanoseconds(status.st_ctim),
            blocks: Int64(status.st_blocks))
    }

    private static func nanoseconds(_ time: timespec) -> Int64 {
        let (product, overflow) = Int64(time.tv_sec).multipliedReportingOverflow(by: 1_000_000_000)
        return overflow ? (time.tv_sec < 0 ? .min : .max) : product &+ Int64(time.tv_nsec)
    }

    /// Whether the content may differ from `other`. The blocks do not count: file systems move and trim them long
    /// after the last write.
    public func mayDifferInContent(from other: FileIdentity) -> Bool {
        device != other.device || inode != other.inode || size != other.size || modified != other.modified
            || changed != other.changed
    }

    /// Whether it is the same file, perhaps with other content or another name.
    public func isSameFile(as other: FileIdentity) -> Bool {
        device == other.device && inode == other.inode
    }
}

/// A regular file found in a tree.
public struct ObservedFile: Hashable, Sendable {
    public var path: RelativePath
    public var identity: FileIdentity

    public init(path: RelativePath, identity: FileIdentity) {
        self.path = path
        self.identity = identity
    }
}

/// An entry of a tree that can never be an input.
public struct UnusableEntry: Hashable, Sendable {
    public enum Reason: Hashable, Sendable {
        /// The name is not UTF-8 (SMB clients do not even see it).
        case nameNotUTF8
        /// A link, pipe, socket or device.
        case notRegular
        /// Deeper than the limit.
        case tooDeep
        /// The folder could not be read.
        case unreadable(errno: Int32)
    }

    /// The folder it lies in.
    public var folder: RelativePath
    /// The name with everything unprintable replaced.
    public var name: String
    public var reason: Reason

    public init(folder: RelativePath, name: String, reason: Reason) {
        self.folder = folder
        self.name = name
        self.reason = reason
    }
}
