import Foundation
import Intake
import Rules

/// What lies in `_check` folders: which files, since when unchanged, and whether they have had their answer.
///
/// Nothing here becomes a drop; the texts are made by `CheckAnswer`.
struct CheckDesk {
    static let folderName = "_check"

    struct Item {
        var folder: RelativePath
        /// What the answer's name begins with.
        var stem: String
        var files: [RelativePath: FileIdentity]
        /// Uptime at which the files were first seen as they are.
        var since: Double
        /// Copies of the files as they are, from when a picture among them is tried until the answer.
        var copies: [RelativePath: Snapshot] = [:]
        var isAnswered = false
    }

    private(set) var items: [KnownInputs.Group: Item] = [:]
    /// How often the copies were all removed.
    var round = 0

    /// Whether this is a `_check` folder whose parent holds inputs.
    static func isCheckFolder(_ path: RelativePath) -> Bool {
        path.name == folderName && path.parent.components.allSatisfy(DropName.isInputFolder)
    }

    /// Looks at one `_check` folder. Answers to files that are gone are taken away.
    mutating func look(at folder: RelativePath, in root: SafeRoot, at now: Double) {
        var found: [KnownInputs.Group: Item] = [:]
        var texts: [RelativePath] = []
        var options = ScanOptions(entersFolder: { _ in false })
        options.maximumDepth = folder.components.count
        _ = try? root.scan(folder, options: options) { entry in
            guard case .file(let file) = entry else { return true }
            let name = DropName(file.path.name)
            if case .ignored = name.kind { return true }
            if case .unsupported = name.kind, name.stemKey.hasSuffix(".txt") {
                texts.append(file.path)
                return true
            }
            let group = KnownInputs.Group(folder: folder, stemKey: name.stemKey)
            found[group, default: Item(folder: folder, stem: name.stem, files: [:], since: now)]
                .files[file.path] = file.identity
            return true
        }
        for (group, item) in found {
            guard let before = items[group], !Self.differ(before.files, item.files) else { continue }
            found[group] = before
        }
        for group in items.keys where group.folder == folder { items[group] = nil }
        items.merge(found) { _, new in new }
        for text in texts where isOrphan(text, in: folder) && CheckAnswer.isOurs(text, in: root) {
            try? root.remove(text)
        }
    }

    private static func differ(_ old: [RelativePath: FileIdentity], _ new: [RelativePath: FileIdentity]) -> Bool {
        old.count != new.count
            || new.contains { path, identity in old[path].map(identity.mayDifferInContent) ?? true }
    }

    private func isOrphan(_ text: RelativePath, in folder: RelativePath) -> Bool {
        let key = NameKey.fold(text.name)
        return !items.values.contains { item in
            item.folder == folder && CheckAnswer.names(item.stem).contains { NameKey.fold($0) == key }
        }
    }

    /// The rules changed: every answer may be another one.
    mutating func askAgain() {
        for group in items.keys { items[group]?.isAnswered = false }
    }

    mutating func keep(_ copy: Snapshot, of path: RelativePath, for group: KnownInputs.Group) {
        items[group]?.copies[path] = copy
    }

    mutating func markAnswered(_ group: KnownInputs.Group) {
        items[group]?.isAnswered = true
        items[group]?.copies = [:]
    }

    /// Whether any answer still needs the copies of its files.
    var holdsCopies: Bool { items.values.contains { !$0.copies.isEmpty } }

    /// Items to answer now, and when the next one falls due, in uptime.
    func due(at now: Double, quiet: Double) -> (items: [(KnownInputs.Group, Item)], next: Double?) {
        let open = items.filter { !$0.value.isAnswered }
        let ready = open.filter { now - $0.value.since >= quiet }.sorted { $0.value.since < $1.value.since }
        let next = open.values.filter { now - $0.since < quiet }.map { $0.since + quiet }.min()
        return (ready.map { ($0.key, $0.value) }, next)
    }

    var isSettled: Bool { items.values.allSatisfy(\.isAnswered) }
}

/// The text beside a file in `_check`.
enum CheckAnswer {
    private static let heading = "Dropreel check of "
    /// Jobs that are written out in full.
    private static let shownJobs = 20

    /// The name of the text, and the one taken where a file of somebody's has the first.
    static func names(_ stem: String) -> [String] {
        var short = stem
        while short.utf8.count > 240 { short.removeLast() }
        return [short + ".txt", short + ".check.txt"]
    }

    /// Whether a text was written here.
    static func isOurs(_ path: RelativePath, in root: SafeRoot) -> Bool {
        guard let file = try? root.open(path) else { return false }
        var bytes = [UInt8](repeating: 0, count: heading.utf8.count)
        let count = bytes.withUnsafeMutableBytes { (try? file.read(into: $0, at: 0)) ?? 0 }
        return count == bytes.count && bytes.elementsEqual(heading.utf8)
    }

    static func render(of names: [String], folder: String, body: [String]) -> String {
        let place = folder.isEmpty ? "the inbox itself" : "inbox/\(folder)"
        let lines = ["\(heading)\(names.joined(separator: ", "))", "As if dropped into \(place). Nothing was made."]
        return (lines + [""] + body).flatMap { $0.split(separator: "\n", omittingEmptySubsequences: false) }
            .joined(separator: "\r\n") + "\r\n"
    }

    static func body(_ jobs: [JobSettings]) -> [String] {
        var lines = [jobs.count == 1 ? "It would make one film." : "It would make \(jobs.count) films."]
        for (index, job) in jobs.prefix(shownJobs).enumerated() {
            lines.append("")
            if jobs.count > 1 { lines.append("Film \(index + 1) of \(jobs.count):") }
            lines.append(job.explanation.trimmingCharacters(in: .newlines))
        }
        if jobs.count > shownJobs { lines += ["", "... and \(jobs.count - shownJobs) more."] }
        return lines
    }

    static func body(_ error: ServiceError) -> [String] {
        ["It would fail: \(error.message)", "What to do: \(error.hint)"]
    }

    static func body(_ problems: RuleProblems) -> [String] {
        ["It would wait, because a rule is broken."] + problems.errorText.split(separator: "\n").map(String.init)
    }
}
