import Foundation
import Rules

/// The names in folders as people see them, who do not tell `Cat.jpg` from `cat.jpg`: read once, and again only after
/// somebody else changed the folder. For one thread.
///
/// Two changes within one tick of the file system's clock may pass for one. What is at stake is a second name that
/// differs in case alone: nothing is ever replaced, because files are moved by exclusive rename.
final class FolderNames {
    private struct Place: Hashable {
        var device: dev_t
        var inode: ino_t
    }

    private struct Content {
        var names: Set<String>
        var seconds: Int
        var nanoseconds: Int

        func isOf(_ status: stat) -> Bool {
            status.st_mtim.tv_sec == seconds && status.st_mtim.tv_nsec == nanoseconds
        }
    }

    private var contents: [Place: Content] = [:]
    /// Folders remembered at once.
    private static let capacity = 16

    /// Whether the folder has something of one of these names, in any spelling.
    /// - Parameter folder: an open directory; its position is not used.
    func contains(anyOf names: [String], in folder: Int32) throws -> Bool {
        var status = stat()
        guard fstat(folder, &status) == 0 else { throw ServiceError.system("stat", "folder", errno: errno) }
        let place = Place(device: status.st_dev, inode: status.st_ino)
        if contents[place]?.isOf(status) != true {
            if contents.count >= Self.capacity { contents.removeAll() }
            // The time was taken before the names: a change in between makes them be read again.
            contents[place] = Content(
                names: try Self.read(folder), seconds: status.st_mtim.tv_sec, nanoseconds: status.st_mtim.tv_nsec)
        }
        return names.contains { contents[place]?.names.contains(NameKey.fold($0)) ?? false }
    }

    /// Runs a change of the folder that adds names to it, and takes note of them. What was known before stays known
    /// only if nobody else has changed the folder until now.
    func adding<Result>(_ names: [String], to folder: Int32, _ change: () throws -> Result) rethrows -> Result {
        var before = stat()
        var after = stat()
        let isKnown = fstat(folder, &before) == 0
        let result = try change()
        let place = Place(device: before.st_dev, inode: before.st_ino)
        guard isKnown, var content = contents.removeValue(forKey: place), content.isOf(before),
            fstat(folder, &after) == 0
        else { return result }
        for name in names { content.names.insert(NameKey.fold(name)) }
        (content.seconds, content.nanoseconds) = (after.st_mtim.tv_sec, after.st_mtim.tv_nsec)
        contents[place] = content
        return result
    }

    private static func read(_ folder: Int32) throws -> Set<String> {
        let own = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard own >= 0, let stream = fdopendir(own) else {
            let code = errno
            if own >= 0 { close(own) }
            throw ServiceError.system("open", "folder", errno: code)
        }
        defer { closedir(stream) }
        var names: Set<String> = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else { break }
            let name = withUnsafePointer(to: &entry.pointee.d_name) { bytes in
                bytes.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            names.insert(NameKey.fold(name))
        }
        guard errno == 0 else { throw ServiceError.system("list", "folder", errno: errno) }
        return names
    }
}
