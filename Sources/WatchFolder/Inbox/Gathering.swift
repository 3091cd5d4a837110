import Intake
import Rules

/// Files of one stem that become one drop.
struct Gathering {
    /// One file: new (with its state), or known and still as the ledger knows it.
    struct Member {
        var path: RelativePath
        var role: InputRecord.Role
        /// Nil for a rejected file.
        var snapshot: Snapshot?
        /// Known partner of an older drop; its copy is taken anew.
        var known: KnownInputs.Entry?
        var rejection: (reason: String, hint: String)?
    }

    var folder: RelativePath
    var stem: String
    var members: [Member]

    func member(_ roles: InputRecord.Role...) -> Member? { members.first { roles.contains($0.role) } }

    var image: Member? { member(.image) }
    var prompt: Member? { member(.prompt, .promptList) }
    var audio: Member? { member(.audio) }
    var film: Member? { member(.filmLog, .film) }
}

extension InputRecord.Role {
    init?(_ kind: DropName.Kind) {
        switch kind {
        case .image: self = .image
        case .prompt: self = .prompt
        case .promptList: self = .promptList
        case .film: self = .film
        case .filmLog: self = .filmLog
        case .audio: self = .audio
        case .contactSheet: self = .sheet
        case .ignored, .unsupported: return nil
        }
    }

    /// Whether jobs read the copy: it stays while one needs it.
    var isRead: Bool { self == .image || self == .audio }

    /// What two files of one drop cannot both be.
    var slot: Int {
        switch self {
        case .image, .poster: 0
        case .prompt, .promptList: 1
        case .film: 2
        case .filmLog: 3
        case .audio: 4
        case .sheet: 5
        }
    }
}

extension InboxView {
    /// Groups the files that settled by folder and stem, each with the partners that it may have.
    ///
    /// - Returns: gatherings, and for files that have to wait for a partner's copy the reason.
    func gather() -> (gatherings: [Gathering], waiting: [RelativePath: String]) {
        var groups: [KnownInputs.Group: [RelativePath]] = [:]
        let states = settling.states
        for (path, state) in states {
            let group = KnownInputs.Group(folder: path.parent, stemKey: DropName(path.name).stemKey)
            switch state {
            case .ready where snapshots[path] != nil, .rejected: groups[group, default: []].append(path)
            default: continue
            }
        }
        var unsettled: [KnownInputs.Group: [RelativePath]] = [:]
        for (path, state) in states where groups.count > 0 {
            switch state {
            case .settling, .beingWritten, .incomplete:
                let group = KnownInputs.Group(folder: path.parent, stemKey: DropName(path.name).stemKey)
                if groups[group] != nil { unsettled[group, default: []].append(path) }
            case .ready, .rejected: continue
            }
        }
        var gatherings: [Gathering] = []
        var waiting: [RelativePath: String] = [:]
        for (group, paths) in groups {
            if let late = unsettled[group]?.min() {
                for path in paths { waiting[path] = "waits until \(late.name) is complete" }
                continue
            }
            gatherings.append(gathering(group, paths.sorted(), states: states))
        }
        return (gatherings.sorted { earliest($0) < earliest($1) }, waiting)
    }

    private func earliest(_ gathering: Gathering) -> (Double, String) {
        let times = gathering.members.compactMap { readySince[$0.path] }
        return (times.min() ?? 0, gathering.members.first?.path.string ?? "")
    }

    private func gathering(
        _ group: KnownInputs.Group, _ paths: [RelativePath], states: [RelativePath: Settling.State]
    ) -> Gathering {
        var members: [Gathering.Member] = []
        for path in paths {
            guard let role = InputRecord.Role(DropName(path.name).kind),
                !members.contains(where: { $0.role.slot == role.slot })
            else { continue }
            var member = Gathering.Member(path: path, role: role, snapshot: snapshots[path])
            if case .rejected(let reason, let hint) = states[path] { member.rejection = (reason, hint) }
            member.known = known[path]
            members.append(member)
        }
        for path in known.paths(in: group).sorted() where states[path] == nil && missing[path] == nil {
            guard let entry = known[path], !members.contains(where: { $0.role.slot == entry.role.slot }),
                mayTake(entry, for: members)
            else { continue }
            members.append(Gathering.Member(path: path, role: entry.role, snapshot: nil, known: entry))
        }
        let isRerun = members.contains { $0.role == .film || $0.role == .filmLog }
        if isRerun {
            // The film's poster, dragged along.
            for index in members.indices where members[index].role == .image { members[index].role = .poster }
        }
        let lead = members.first { $0.role == .image } ?? members.first { $0.role != .audio } ?? members[0]
        return Gathering(folder: group.folder, stem: DropName(lead.path.name).stem, members: members)
    }

    /// A known file may join new ones unless its drop already has another file in their place.
    private func mayTake(_ entry: KnownInputs.Entry, for members: [Gathering.Member]) -> Bool {
        known.paths(of: entry.drop).allSatisfy { other in
            guard let otherEntry = known[other], otherEntry.role.slot != entry.role.slot else { return true }
            return members.allSatisfy { $0.role.slot != otherEntry.role.slot || $0.path == other }
        }
    }
}
