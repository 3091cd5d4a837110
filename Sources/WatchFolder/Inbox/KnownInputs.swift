import Intake
import Rules

/// Inputs that the ledger knows, by where they are.
struct KnownInputs {
    struct Entry {
        var drop: JobID
        var role: InputRecord.Role
        var identity: FileIdentity
        var digest: PackedDigest
        /// Belongs to a job that is not finished; else it was kept or orphaned.
        var isWaiting: Bool
        var stemKey: String

        /// As in the ledger; empty for a file that was never read.
        var sha256: String { digest.text }
    }

    struct Group: Hashable {
        var folder: RelativePath
        var stemKey: String
    }

    private(set) var entries: [RelativePath: Entry] = [:]
    private var byFolder: [RelativePath: Set<RelativePath>] = [:]
    private var byGroup: [Group: FewPaths] = [:]
    private var byDrop: [JobID: FewPaths] = [:]

    init() {}

    /// Reads the ledger's side.
    init(ledger: any Ledger) throws {
        for drop in try ledger.openDrops() {
            for input in drop.inputs where input.disposition == .waiting {
                insert(input, drop: drop.id, isWaiting: true)
            }
        }
        try ledger.forEachKeptInput { insert($1, drop: $0, isWaiting: false) }
    }

    subscript(path: RelativePath) -> Entry? { entries[path] }

    mutating func insert(_ input: InputRecord, drop: JobID, isWaiting: Bool) {
        let path = RelativePath(input.path)
        remove(path)
        let key = DropName(path.name).stemKey
        entries[path] = Entry(
            drop: drop, role: input.role, identity: input.identity, digest: PackedDigest(input.sha256),
            isWaiting: isWaiting, stemKey: key)
        byFolder[path.parent, default: []].insert(path)
        byGroup[Group(folder: path.parent, stemKey: key), default: .empty].insert(path)
        byDrop[drop, default: .empty].insert(path)
    }

    mutating func remove(_ path: RelativePath) {
        guard let entry = entries.removeValue(forKey: path) else { return }
        byFolder[path.parent]?.remove(path)
        if byFolder[path.parent]?.isEmpty == true { byFolder[path.parent] = nil }
        let group = Group(folder: path.parent, stemKey: entry.stemKey)
        byGroup[group]?.remove(path)
        if byGroup[group]?.isEmpty == true { byGroup[group] = nil }
        byDrop[entry.drop]?.remove(path)
        if byDrop[entry.drop]?.isEmpty == true { byDrop[entry.drop] = nil }
    }

    mutating func update(_ path: RelativePath, identity: FileIdentity) { entries[path]?.identity = identity }

    mutating func markKept(_ path: RelativePath) { entries[path]?.isWaiting = false }

    func paths(in folder: RelativePath) -> Set<RelativePath> { byFolder[folder] ?? [] }

    func paths(of drop: JobID) -> Set<RelativePath> { byDrop[drop]?.all ?? [] }

    func paths(in group: Group) -> Set<RelativePath> { byGroup[group]?.all ?? [] }
}

/// Usually one path: a set for each of hundreds of thousands of files would cost more than everything else.
private enum FewPaths {
    case empty
    case one(RelativePath)
    case more(Set<RelativePath>)

    var all: Set<RelativePath> {
        switch self {
        case .empty: []
        case .one(let path): [path]
        case .more(let paths): paths
        }
    }

    var isEmpty: Bool { if case .empty = self { true } else { false } }

    mutating func insert(_ path: RelativePath) { self = Self(all.union([path])) }

    mutating func remove(_ path: RelativePath) { self = Self(all.subtracting([path])) }

    private init(_ paths: Set<RelativePath>) {
        self = paths.count > 1 ? .more(paths) : paths.first.map { .one($0) } ?? .empty
    }
}
