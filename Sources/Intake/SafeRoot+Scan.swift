import CSystem
import Glibc

/// What a scan met.
public enum ScanEntry: Sendable {
    /// A regular file.
    case file(ObservedFile)
    /// A folder, before its own entries.
    case folder(RelativePath)
    /// Something that can never be an input.
    case unusable(UnusableEntry)
}

/// What a scan looks at.
public struct ScanOptions: Sendable {
    /// Deepest folder below the root that is entered.
    public var maximumDepth: Int
    /// Whether a folder of this name is entered; by default not those that begin with `_` or `.`.
    public var entersFolder: @Sendable (String) -> Bool
    /// Whether a file of this name is inspected and reported; by default not those that begin with `.`.
    public var reportsFile: @Sendable (String) -> Bool

    public init(
        maximumDepth: Int = 32,
        entersFolder: @escaping @Sendable (String) -> Bool = { !$0.hasPrefix("_") && !$0.hasPrefix(".") },
        reportsFile: @escaping @Sendable (String) -> Bool = { !$0.hasPrefix(".") }
    ) {
        self.maximumDepth = maximumDepth
        self.entersFolder = entersFolder
        self.reportsFile = reportsFile
    }
}

extension SafeRoot {
    /// Walks the tree below a folder, file by file, holding no more than the folders still to be visited.
    ///
    /// Entries come in the directory's own order. A folder that vanishes meanwhile is passed over.
    /// - Returns: false when `visit` returned false and the walk stopped there.
    /// - Throws: when the first folder itself cannot be read.
    @discardableResult
    public func scan(
        _ start: RelativePath = .root, options: ScanOptions = ScanOptions(), visit: (ScanEntry) -> Bool
    ) throws(IntakeError) -> Bool {
        var waiting: [(path: RelativePath, depth: Int)] = [(start, start.components.count)]
        let reader = DirectoryReader()
        while let (folder, depth) = waiting.popLast() {
            let opened: Int32
            do {
                opened = try openDirectory(folder)
            } catch {
                if folder == start { throw error }
                guard error.code != .absent else { continue }
                let entry = UnusableEntry(
                    folder: folder.parent, name: folder.name, reason: .unreadable(errno: error.errno))
                guard visit(.unusable(entry)) else { return false }
                continue
            }
            defer { close(opened) }
            let finding = Finding(folder: folder, depth: depth, descriptor: opened, options: options)
            let outcome = reader.forEachName(opened) { name, type in
                finding.handle(name, type, &waiting, visit)
            }
            switch outcome {
            case .finished: continue
            case .stopped: return false
            case .failed(let number):
                if folder == start { throw IntakeError.system(number, doing: "list", name: folder.string) }
                let entry = UnusableEntry(
                    folder: folder.parent, name: folder.name, reason: .unreadable(errno: number))
                guard visit(.unusable(entry)) else { return false }
            }
        }
        return true
    }
}

/// One folder of a scan.
private struct Finding {
    let folder: RelativePath
    let depth: Int
    let descriptor: Int32
    let options: ScanOptions

    /// - Returns: false to stop the walk.
    func handle(
        _ raw: UnsafeBufferPointer<UInt8>, _ type: UInt8, _ waiting: inout [(path: RelativePath, depth: Int)],
        _ visit: (ScanEntry) -> Bool
    ) -> Bool {
        guard let name = String(validating: raw, as: UTF8.self) else {
            let shown = String(decoding: raw, as: UTF8.self)
            return visit(.unusable(UnusableEntry(folder: folder, name: shown, reason: .nameNotUTF8)))
        }
        if type == DT_REG, !options.reportsFile(name) { return true }
        if type == DT_DIR, !options.entersFolder(name) { return true }
        var status = stat()
        guard fstatat(descriptor, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else { return true }
        switch status.st_mode & S_IFMT {
        case S_IFREG:
            guard options.reportsFile(name) else { return true }
            return visit(.file(ObservedFile(path: folder.appending(name), identity: FileIdentity(status))))
        case S_IFDIR:
            guard options.entersFolder(name) else { return true }
            guard depth < options.maximumDepth else {
                return visit(.unusable(UnusableEntry(folder: folder, name: name, reason: .tooDeep)))
            }
            let path = folder.appending(name)
            waiting.append((path, depth + 1))
            return visit(.folder(path))
        default:
            guard options.reportsFile(name) else { return true }
            return visit(.unusable(UnusableEntry(folder: folder, name: name, reason: .notRegular)))
        }
    }
}
