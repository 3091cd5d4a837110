import Foundation
import Intake
import Rules

extension Service {
    private struct Returned {
        var path: RelativePath
        var size: Int64
        /// Nanoseconds since 1970: the move into the folder counts, not the age of the picture.
        var movedAt: Int64
    }

    /// Deletes inputs from `_done` and `_failed`, oldest first: those returned longer ago than the limit, and those
    /// beyond the limit of bytes. Off unless one of the limits is set. A file that an open drop still returns or needs
    /// stays.
    func trimReturned() throws {
        guard options.retention != nil || options.retentionBytes != nil else { return }
        let needed = try neededReturns()
        let old = try returnedInputs().sorted { ($0.movedAt, $0.path) < ($1.movedAt, $1.path) }
        var total = old.reduce(0) { $0 + $1.size }
        let limit = options.retention.map { Int64((clock.now().timeIntervalSince1970 - $0) * 1e9) } ?? .min
        var deleted = (count: 0, bytes: Int64(0))
        for file in old {
            let isTooOld = file.movedAt < limit
            let isTooMuch = options.retentionBytes.map { total > $0 } ?? false
            guard isTooOld || isTooMuch, !needed.contains(file.path) else { continue }
            try view.root.remove(file.path)
            total -= file.size
            deleted = (deleted.count + 1, deleted.bytes + file.size)
            logger.info(
                "returned input deleted",
                metadata: ["file": "\(file.path)", "because": isTooOld ? "retention" : "retention_size"])
        }
        guard deleted.count > 0 else { return }
        logger.notice(
            "returned inputs deleted", metadata: ["files": "\(deleted.count)", "bytes": "\(deleted.bytes)"])
    }

    private func returnedInputs() throws -> [Returned] {
        let folders: Set<String> = ["_done", "_failed"]
        let options = ScanOptions(entersFolder: { folders.contains($0) || DropName.isInputFolder($0) })
        var found: [Returned] = []
        try view.root.scan(.root, options: options) { entry in
            if case .file(let file) = entry, folders.contains(file.path.parent.name) {
                found.append(
                    Returned(path: file.path, size: file.identity.size, movedAt: file.identity.changed))
            }
            return true
        }
        return found
    }

    /// What drops that are not closed moved there, with the texts beside them.
    private func neededReturns() throws -> Set<RelativePath> {
        var needed: Set<RelativePath> = []
        for drop in try ledger.openDrops() {
            for path in drop.inputs.compactMap(\.destination).map(RelativePath.init) {
                needed.formUnion([path, path.parent.appending(path.name + ".ERROR.txt")])
            }
        }
        return needed
    }
}
