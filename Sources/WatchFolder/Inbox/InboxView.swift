import Foundation
import Intake
import Rules

/// The inbox as far as it has been seen: what is known, what settles, what can never be an input.
///
/// Scans feed it; it tells which known inputs were renamed, taken away or changed.
struct InboxView {
    /// What a scan found to have happened to known inputs.
    enum Change {
        case renamed(from: RelativePath, to: ObservedFile)
        case missing(RelativePath)
    }

    let root: SafeRoot
    var known: KnownInputs
    var settling: Settling
    var snapshots = HeldCopies()
    /// When a file became ready, in uptime.
    var readySince: [RelativePath: Double] = [:]
    /// Entries that can never be inputs, with the reason.
    var unusable: [RelativePath: String] = [:]
    var folders: Set<RelativePath> = [.root]
    /// Known inputs not found at their place, and since when.
    var missing: [RelativePath: Double] = [:]

    init(root: SafeRoot, known: KnownInputs, settling: Settling) {
        self.root = root
        self.known = known
        self.settling = settling
    }

    /// Looks at one folder, and at everything below it that is new or asked for.
    /// - Returns: renames found on the way.
    mutating func scan(_ folder: RelativePath, recursive: Bool, at now: Double) throws(IntakeError) -> [Change] {
        var found = Findings(isRecursive: recursive)
        var options = ScanOptions(entersFolder: DropName.isInputFolder)
        if !recursive { options.maximumDepth = folder.components.count }
        do {
            try root.scan(folder, options: options) { entry in
                found.take(entry, in: folder)
                return true
            }
        } catch {
            guard error.code == .absent, !folder.isRoot else { throw error }
            folders.remove(folder)
        }
        var changes = merge(found, of: folder, recursive: recursive, at: now)
        for new in found.subfolders where folders.insert(new).inserted && !recursive {
            changes += try scan(new, recursive: true, at: now)
        }
        return changes
    }

    private struct Findings {
        var isRecursive: Bool
        var files: [RelativePath: FileIdentity] = [:]
        var subfolders: [RelativePath] = []
        var unusable: [RelativePath: String] = [:]

        mutating func take(_ entry: ScanEntry, in start: RelativePath) {
            switch entry {
            case .file(let file):
                switch DropName(file.path.name).kind {
                case .ignored: break
                case .unsupported(let reason): unusable[file.path] = reason
                default: files[file.path] = file.identity
                }
            case .folder(let path):
                subfolders.append(path)
            case .unusable(let entry):
                let path = entry.folder.appending(entry.name)
                if !isRecursive, entry.reason == .tooDeep {
                    subfolders.append(path)
                } else {
                    unusable[path] = Self.text(entry.reason)
                }
            }
        }

        private static func text(_ reason: UnusableEntry.Reason) -> String {
            switch reason {
            case .nameNotUTF8: "the name is not valid UTF-8; rename it"
            case .notRegular: "links, pipes and devices are never inputs; copy the file itself here"
            case .tooDeep: "the folder lies too deep; move it up"
            case .unreadable: "the folder cannot be read; give the service's group the right to"
            }
        }
    }

    private mutating func merge(
        _ found: Findings, of folder: RelativePath, recursive: Bool, at now: Double
    ) -> [Change] {
        let isHere: (RelativePath) -> Bool = { recursive ? $0.isWithin(folder) : $0.parent == folder }
        for path in unusable.keys where isHere(path) { unusable[path] = nil }
        unusable.merge(found.unusable) { _, new in new }
        for path in settling.paths where isHere(path) && found.files[path] == nil { forget(path) }
        var fresh: [ObservedFile] = []
        for (path, identity) in found.files {
            let file = ObservedFile(path: path, identity: identity)
            guard let entry = known[path] else {
                fresh.append(file)
                continue
            }
            missing[path] = nil
            if identity.mayDifferInContent(from: entry.identity) {
                observe(file, at: now)
            } else {
                forget(path)
            }
        }
        var changes: [Change] = []
        let isAbsent: (RelativePath) -> Bool = { found.files[$0] == nil }
        let absent: [RelativePath] =
            recursive
            ? known.entries.keys.lazy.filter { isHere($0) && isAbsent($0) }.map { $0 }
            : known.paths(in: folder).filter(isAbsent)
        for path in absent {
            if let index = fresh.firstIndex(where: { isRename(of: path, to: $0) }) {
                changes.append(.renamed(from: path, to: fresh.remove(at: index)))
            } else if missing[path] == nil {
                missing[path] = now
            }
        }
        for file in fresh { observe(file, at: now) }
        return changes
    }

    /// Same file, same content, same folder, same kind: only the name is new.
    private func isRename(of path: RelativePath, to file: ObservedFile) -> Bool {
        guard let entry = known[path], file.path.parent == path.parent, file.identity.isSameFile(as: entry.identity),
            file.identity.size == entry.identity.size, file.identity.modified == entry.identity.modified
        else { return false }
        return DropName(path.name).kind == DropName(file.path.name).kind
    }

    mutating func observe(_ file: ObservedFile, at now: Double) {
        if settling.identity(of: file.path).map(file.identity.mayDifferInContent) ?? false {
            snapshots[file.path] = nil
            readySince[file.path] = nil
        }
        settling.observe(file, at: now)
    }

    /// The file is gone, or belongs to the ledger from now on.
    mutating func forget(_ path: RelativePath) {
        settling.forget(path)
        snapshots[path] = nil
        readySince[path] = nil
    }
}
