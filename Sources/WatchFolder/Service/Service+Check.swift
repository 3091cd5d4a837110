import Foundation
import Intake
import Rules

extension Service {
    /// Looks for `_check` in folders that hold inputs.
    func lookForChecks(in folders: some Sequence<RelativePath>) {
        let now = clock.uptime()
        for folder in folders { checks.look(at: folder.appending(CheckDesk.folderName), in: view.root, at: now) }
    }

    /// Writes what the files in `_check` would be made with. Touches no ledger and moves nothing.
    func answerChecks() throws {
        let start = clock.uptime()
        let due = checks.due(at: clock.uptime(), quiet: options.quietPeriod).items
        guard !due.isEmpty else { return }
        // Copies of their own, so that none that a job needs is touched. Under a new name after each removal: a verdict
        // on a copy that was removed while it was tried is never taken for one on a later copy of the same bytes.
        let place = layout.state.appendingPathComponent("check", isDirectory: true)
        var desk = layout
        desk.state = place.appendingPathComponent("\(checks.round)", isDirectory: true)
        try FileManager.default.createDirectory(at: desk.snapshots, withIntermediateDirectories: true)
        defer {
            if !checks.holdsCopies {
                try? FileManager.default.removeItem(at: place)
                checks.round += 1
            }
        }
        let share = share(since: start)
        for (group, item) in due where !share.isOver {
            let body: [String]?
            do {
                body = try answer(group, item, in: desk)
            } catch {
                checks.markAnswered(group)
                throw error
            }
            // Its picture is still being tried.
            guard let body else { continue }
            // A text that cannot be written (folder gone, name taken by a folder) is not tried again and again.
            checks.markAnswered(group)
            let names = item.files.keys.map(\.name).sorted()
            let text = CheckAnswer.render(of: names, folder: item.folder.parent.string, body: body)
            guard let target = target(of: item), !isThere(text, at: target) else { continue }
            try ShareText(files: files, staging: layout.stagingRoot.path).write(text, to: target, in: view.root)
        }
    }

    private func target(of item: CheckDesk.Item) -> RelativePath? {
        CheckAnswer.names(item.stem).map(item.folder.appending).first { path in
            guard let there = try? view.root.observe(path) else { return access(to: path) }
            return there.identity.size == 0 || CheckAnswer.isOurs(path, in: view.root)
        }
    }

    /// Whether nothing that is no file stands in the way.
    private func access(to path: RelativePath) -> Bool {
        guard let folder = try? view.root.openDirectory(path.parent) else { return false }
        defer { close(folder) }
        var status = stat()
        return fstatat(folder, path.name, &status, AT_SYMLINK_NOFOLLOW) != 0
    }

    private func isThere(_ text: String, at path: RelativePath) -> Bool {
        guard let bytes = try? view.root.open(path).readAll(limit: 1 << 20) else { return false }
        return bytes.elementsEqual(text.utf8)
    }

    /// - Returns: nil while a picture is still being tried.
    private func answer(_ group: KnownInputs.Group, _ item: CheckDesk.Item, in desk: ServiceLayout) throws -> [String]?
    {
        let folder = item.folder.parent
        let rule: SettingLayer
        switch ruleBook.rules.rule(forFolder: folder.string) {
        case .sound(let layer): rule = layer
        case .broken(let problems): return CheckAnswer.body(problems)
        }
        do {
            guard let gathering = try gather(group, item, in: desk) else { return nil }
            let inputs = gathering.members.map { member in
                InputRecord(
                    role: member.role, path: member.path.string, name: member.path.name,
                    sha256: member.snapshot?.sha256 ?? "",
                    identity: member.snapshot?.identity ?? item.files[member.path]!)
            }
            let composer = DropComposer(
                layout: desk, models: models, filmReader: filmReader,
                findFile: { [self] in Foundation.access(layout.snapshot($0).path, R_OK) == 0 }, recall: { _ in [] })
            switch try composer.plan(gathering, inputs: inputs, rule: rule, imageMayRunAlone: true) {
            case .wait(let reason): return ["It would wait: \(reason)."]
            case .jobs(let settings, _): return CheckAnswer.body(settings)
            }
        } catch {
            guard let refusal = DropComposer.refusal(error) else { throw error }
            return CheckAnswer.body(refusal)
        }
    }

    /// The files as one drop, each copied and tried.
    /// - Returns: nil while one is still being tried.
    /// - Throws: `ServiceError` of code `badInput` for what can never be used.
    private func gather(_ group: KnownInputs.Group, _ item: CheckDesk.Item, in desk: ServiceLayout) throws -> Gathering?
    {
        let copies = try SafeRoot(path: desk.snapshots.path)
        var members: [Gathering.Member] = []
        for path in item.files.keys.sorted() {
            let name = DropName(path.name)
            if case .unsupported(let reason) = name.kind {
                throw ServiceError(.badInput, "\(name.name): \(reason).", hint: "Only such files become films.")
            }
            guard let role = InputRecord.Role(name.kind), !members.contains(where: { $0.role.slot == role.slot })
            else { continue }
            let copy: Snapshot
            do throws(IntakeError) {
                if let kept = item.copies[path] {
                    copy = kept
                } else {
                    copy = try Snapshot.take(try view.root.open(path), into: copies)
                }
            } catch {
                if error.code == .noSpace { throw Self.serviceError(error) }
                throw ServiceError(.badInput, error.message, hint: error.hint)
            }
            checks.keep(copy, of: path, for: group)
            let verdict = try InboxView.examine(name, copy: copy) {
                inspections.verdict(on: desk.snapshot($0), as: $1, within: InboxView.patience)
            }
            switch verdict {
            case .complete: break
            case .undecided: return nil
            case .incomplete(let reason):
                throw ServiceError(
                    .badInput, "\(name.name) is not complete: \(reason).", hint: "Copy it again if nothing moves.")
            case .broken(let reason, let hint): throw ServiceError(.badInput, reason, hint: hint)
            }
            members.append(Gathering.Member(path: path, role: role, snapshot: copy))
        }
        let lead = members.first { $0.role == .image } ?? members.first { $0.role != .audio } ?? members.first
        return Gathering(
            folder: item.folder.parent, stem: lead.map { DropName($0.path.name).stem } ?? item.stem, members: members)
    }
}
