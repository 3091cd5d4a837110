import Digests
import Foundation
import Intake
import Rules

extension Service {
    func reloadRules() throws {
        guard clock.uptime() >= nextRules else { return }
        nextRules = clock.uptime() + options.rulesInterval
        if try ruleBook.reload() {
            checks.askAgain()
            logger.info("rules read", metadata: ["broken": "\(ruleBook.rules.problems.count)"])
        }
    }

    /// Makes drops of what has settled.
    func acceptGathered() throws {
        let start = clock.uptime()
        let (gatherings, waiting) = view.gather()
        waitReasons = waiting
        hasMoreToAccept = false
        let share = share(since: start)
        for gathering in gatherings {
            if share.isOver {
                hasMoreToAccept = true
                return
            }
            do {
                try accept(gathering)
            } catch {
                // One file's trouble is not the others': it settles again, from its beginning.
                let known = Self.serviceError(error)
                if known.code == .noSpace { throw known }
                for member in gathering.members {
                    view.snapshots[member.path] = nil
                    view.settling.unsettle(member.path, at: clock.uptime())
                }
                logger.error("acceptance failed", metadata: ["stem": "\(gathering.stem)", "error": "\(known)"])
            }
        }
    }

    private func accept(_ gathering: Gathering) throws {
        if try isMerelyTouched(gathering) { return }
        let rule: SettingLayer
        switch ruleBook.rules.rule(forFolder: gathering.folder.string) {
        case .sound(let layer): rule = layer
        case .broken(let problems):
            return wait(gathering, "waits because a rule is broken: \(problems.first.description)")
        }
        guard let inputs = try collect(gathering) else { return }
        let now = clock.now()
        let composer = DropComposer(
            layout: layout, models: models, filmReader: filmReader, findFile: { [self] in hasFile($0) },
            recall: { [ledger] in try ledger.recall(key: $0) })
        let waited = gathering.image.flatMap { view.readySince[$0.path] }.map { clock.uptime() - $0 } ?? 0
        let outcome = try composer.compose(
            gathering, inputs: inputs, rule: rule, imageMayRunAlone: waited >= options.pairWait, at: now)
        switch outcome {
        case .wait(let reason): wait(gathering, reason)
        case .drop(var drop):
            relate(&drop, to: gathering)
            guard try isUnchanged(drop) else { return }
            try ledger.accept(drop)
            register(drop)
        }
    }

    private func wait(_ gathering: Gathering, _ reason: String) {
        for member in gathering.members where member.known == nil || member.snapshot != nil {
            waitReasons[member.path] = reason
        }
    }

    /// A known file whose attributes moved but whose bytes did not: nothing new.
    private func isMerelyTouched(_ gathering: Gathering) throws -> Bool {
        let fresh = gathering.members.filter { $0.snapshot != nil || $0.rejection != nil }
        guard !fresh.isEmpty, fresh.allSatisfy({ $0.known != nil && $0.snapshot?.sha256 == $0.known?.sha256 }) else {
            return false
        }
        for member in fresh {
            guard let entry = member.known, let snapshot = member.snapshot else { continue }
            try ledger.relocate(
                drop: entry.drop, role: entry.role, path: member.path.string, identity: snapshot.identity, stem: nil)
            view.known.update(member.path, identity: snapshot.identity)
            view.forget(member.path)
        }
        return true
    }

    /// The inputs as the ledger will hold them; known partners are copied again.
    /// - Returns: nil when one of them changed meanwhile.
    private func collect(_ gathering: Gathering) throws -> [InputRecord]? {
        var inputs: [InputRecord] = []
        for member in gathering.members {
            var snapshot = member.snapshot
            if snapshot == nil, member.rejection == nil {
                guard let file = try? view.root.open(member.path),
                    let copy = try? Snapshot.take(file, into: snapshotRoot, isDurable: member.role.isRead),
                    copy.sha256 == member.known?.sha256
                else {
                    dirty.insert(gathering.folder)
                    return nil
                }
                snapshot = copy
            }
            guard let identity = snapshot?.identity ?? view.settling.identity(of: member.path) else { return nil }
            inputs.append(
                InputRecord(
                    role: member.role, path: member.path.string, name: member.path.name,
                    sha256: snapshot?.sha256 ?? "", identity: identity))
        }
        return inputs
    }

    /// Which older drops this one replaces, and whether it only completes them.
    private func relate(_ drop: inout NewDrop, to gathering: Gathering) {
        let older = Set(
            gathering.members.compactMap { member in
                member.known.flatMap { $0.isWaiting ? $0.drop : nil }
            })
        drop.replaces = older.sorted { $0.text < $1.text }
        drop.completes = drop.inputs.allSatisfy { input in
            guard let entry = view.known[RelativePath(input.path)] else { return true }
            return entry.sha256 == input.sha256
        }
    }

    /// The last look before acceptance: nothing that moved since its copy is taken.
    private func isUnchanged(_ drop: NewDrop) throws -> Bool {
        for input in drop.inputs {
            let path = RelativePath(input.path)
            guard let now = try? view.root.observe(path), !now.identity.mayDifferInContent(from: input.identity) else {
                dirty.insert(path.parent)
                return false
            }
        }
        return true
    }

    private func register(_ drop: NewDrop) {
        for old in drop.replaces {
            for path in view.known.paths(of: old) { view.known.remove(path) }
        }
        for input in drop.inputs {
            let path = RelativePath(input.path)
            view.forget(path)
            orphans.remove(path)
            waitReasons[path] = nil
            view.known.insert(input, drop: drop.id, isWaiting: true)
            // Two files of the same content share one copy.
            if !input.role.isRead, !view.snapshots.holds(input.sha256) {
                unlink(layout.snapshot(input.sha256).path)
            }
        }
        let what = drop.refusal.map { "refused: \($0.message)" } ?? "\(drop.jobs.count) jobs"
        logger.info(
            "accepted", metadata: ["drop": "\(drop.id)", "input": "\(drop.inputs.first?.path ?? "")", "as": "\(what)"])
        pool.wake()
        nextStatus = 0
    }

    /// Whether the picture or sound of an earlier film can still be had; brings it back from a `_done` folder if need be.
    private func hasFile(_ sha256: String) -> Bool {
        if access(layout.snapshot(sha256).path, R_OK) == 0 { return true }
        var options = ScanOptions(entersFolder: { $0 == "_done" || DropName.isInputFolder($0) })
        options.reportsFile = { [.image, .audio].contains(DropName($0).kind) }
        var isFound = false
        _ = try? view.root.scan(.root, options: options) { [view, snapshotRoot] entry in
            guard case .file(let file) = entry, file.identity.size <= Int64(Snapshot.defaultLimit),
                let opened = try? view.root.open(file.path),
                (try? Digest.ofFile(descriptor: opened.descriptor)) == sha256
            else { return true }
            isFound = (try? Snapshot.take(opened, into: snapshotRoot))?.sha256 == sha256
            return !isFound
        }
        return isFound
    }
}
