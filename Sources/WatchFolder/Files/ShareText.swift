import Foundation
import Intake

/// Short texts for people in folders that people own: STATUS.txt, the answers of `_check`.
///
/// The folder is opened beneath the root, so that a link put in its place leads nowhere; readers see the old text or the
/// new one. Not synced: what is lost in a power cut is written again.
struct ShareText {
    var files: DurableFiles
    /// Folder on the file system of the outbox where the text is made.
    var staging: String

    /// - Throws: `ServiceError`; `storage` where the folder is gone or a folder has the name.
    func write(_ text: String, to path: RelativePath, in root: SafeRoot) throws {
        let folder = try Self.translating { () throws(IntakeError) in try root.openDirectory(path.parent) }
        defer { close(folder) }
        let temporary = staging + "/.text-\(UInt64.random(in: 0...UInt64.max)).new"
        try files.create(temporary, Data(text.utf8), synced: false)
        var status = stat()
        // Needs no success: on a share with one owner there is no group to adopt.
        if fstat(folder, &status) == 0 { _ = chown(temporary, uid_t.max, status.st_gid) }
        if renameat(AT_FDCWD, temporary, folder, path.name) == 0 { return }
        let number = errno
        unlink(temporary)
        guard number == EXDEV else { throw ServiceError.system("rename", path.name, errno: number) }
        // The inbox lies on another disk: by way of a hidden name beside it.
        let hidden = path.parent.appending(".\(path.name.prefix(100)).new")
        try Self.translating { () throws(IntakeError) in
            try root.remove(hidden)
            try root.create(hidden, bytes: Array(text.utf8))
        }
        guard renameat(folder, hidden.name, folder, path.name) == 0 else {
            let number = errno
            unlinkat(folder, hidden.name, 0)
            throw ServiceError.system("rename", path.name, errno: number)
        }
    }

    private static func translating<Value>(_ body: () throws(IntakeError) -> Value) throws -> Value {
        do { return try body() } catch { throw Service.serviceError(error) }
    }
}
