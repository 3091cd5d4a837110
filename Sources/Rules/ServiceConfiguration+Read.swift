extension ServiceConfiguration {
    /// Reads a configuration file.
    ///
    /// The language is that of rule files with `[section]` headings; unknown sections and keys are errors.
    /// - Parameters:
    ///   - source: the file's name in messages.
    ///   - directory: absolute path of the folder the file lies in.
    public static func read(
        _ bytes: [UInt8], source: String, directory: String
    ) throws(RuleProblems) -> ServiceConfiguration {
        let lines: [[Unicode.Scalar]]
        do {
            lines = try SourceText(bytes, source: source).lines
        } catch {
            throw RuleProblems(error)
        }
        let names = Set(ConfigurationKey.all.map(\.name))
        let vocabulary = StatementReader.Vocabulary(
            sections: true, isKnown: names.contains, isFreeText: { _ in false })
        var reader = StatementReader(source: source, lines: lines, vocabulary: vocabulary)
        reader.readAll()
        var values: [String: ConfigurationValue] = [:]
        var places: [String: Int] = [:]
        var problems = reader.problems
        for statement in reader.statements {
            guard
                let key = ConfigurationKey.all.first(where: {
                    $0.section == statement.section && $0.name == statement.key
                })
            else {
                problems.append(unknown(statement, source: source))
                continue
            }
            if let line = places[key.fullName] {
                problems.append(
                    RuleProblem(
                        source: source, line: statement.line, column: statement.column, code: .duplicateSetting,
                        message: "\(key.fullName): already set in line \(line)", hint: "Delete one of the two lines."))
                continue
            }
            places[key.fullName] = statement.line
            do {
                values[key.fullName] = try ValueReader(statement: statement, source: source).read(key)
            } catch {
                problems.append(error)
            }
        }
        if let found = RuleProblems(problems.sorted { ($0.line ?? 0, $0.column ?? 0) < ($1.line ?? 0, $1.column ?? 0) })
        {
            throw found
        }
        let result = assemble(values, directory: directory)
        if let found = RuleProblems(result.folderProblems(source: source, places: places)) { throw found }
        return result
    }

    /// What holds without a file: everything beside `root`.
    public static func standard(root: String) -> ServiceConfiguration {
        assemble(["root": .text(root)], directory: root)
    }

    private static func unknown(_ statement: Statement, source: String) -> RuleProblem {
        let here = ConfigurationKey.all.filter { $0.section == statement.section }.map(\.name)
        let place = statement.section.isEmpty ? "above the first section" : "in [\(statement.section)]"
        if here.isEmpty {
            let close = Suggestion.closest(to: statement.section, among: ConfigurationKey.sections)
            return RuleProblem(
                source: source, line: statement.line, column: statement.column, code: .unknownSetting,
                message: "[\(statement.section)]: unknown section" + (close.map { "; did you mean [\($0)]?" } ?? ""),
                hint: "Sections are \(ConfigurationKey.sections.map { "[\($0)]" }.joined(separator: ", ")).")
        }
        if let elsewhere = ConfigurationKey.all.first(where: { $0.name == statement.key }) {
            let home = elsewhere.section.isEmpty ? "above the first section" : "in [\(elsewhere.section)]"
            return RuleProblem(
                source: source, line: statement.line, column: statement.column, code: .unknownSetting,
                message: "\(statement.name): unknown \(place)", hint: "It stands \(home).")
        }
        return SettingReader.unknown(statement, source: source, candidates: here)
    }
}

extension ServiceConfiguration {
    private struct Values {
        let given: [String: ConfigurationValue]

        func text(_ name: String, _ standard: String) -> String {
            if case .text(let value) = given[name] { value } else { standard }
        }

        func integer(_ name: String, _ standard: Int) -> Int {
            if case .integer(let value) = given[name] { value } else { standard }
        }

        func boolean(_ name: String, _ standard: Bool) -> Bool {
            if case .boolean(let value) = given[name] { value } else { standard }
        }

        func number(_ name: String, _ standard: Double) -> Double {
            if case .number(let value) = given[name] { value } else { standard }
        }

        func choice<Word: RawRepresentable<String>>(_ name: String, _ standard: Word) -> Word {
            Word(rawValue: text(name, standard.rawValue)) ?? standard
        }
    }

    private static func assemble(_ given: [String: ConfigurationValue], directory: String) -> ServiceConfiguration {
        let values = Values(given: given)
        let root = absolute(values.text("root", ".."), from: directory)
        func folder(_ name: String) -> String { absolute(values.text("folders.\(name)", name), from: root) }
        func model(_ name: String) -> String? {
            let text = values.text("models.\(name)", "")
            return text.isEmpty ? nil : text
        }
        var directories = ["Models"]
        if case .texts(let paths) = given["models.directories"] { directories = paths }
        var retention: Double?
        if case .number(let seconds) = given["jobs.retention"] { retention = seconds }
        var retentionSize: Int?
        if case .integer(let bytes) = given["jobs.retention_size"] { retentionSize = bytes }
        var gpus = GPUChoice.device
        if case .text("all") = given["engine.gpus"] { gpus = .all }
        if case .texts(let numbers) = given["engine.gpus"] { gpus = .numbers(numbers.compactMap { Int($0) }) }
        var gpuMemory: Int?
        if case .integer(let bytes) = given["engine.gpu_memory"] { gpuMemory = bytes }
        var gpuTimeout: Double? = 300
        switch given["engine.gpu_timeout"] {
        case .number(let seconds): gpuTimeout = seconds
        case .off: gpuTimeout = nil
        default: break
        }
        func optional(_ name: String) -> String? {
            let text = values.text(name, "")
            return text.isEmpty ? nil : text
        }
        return ServiceConfiguration(
            root: root,
            folders: Folders(
                inbox: folder("inbox"), outbox: folder("outbox"), rules: folder("rules"), state: folder("state")),
            models: Models(
                directories: directories.map { absolute($0, from: root) },
                textToVideo: model("text_to_video"), imageToVideo: model("image_to_video")),
            engine: Engine(
                backend: values.choice("engine.backend", .auto), device: values.integer("engine.device", 0),
                gpus: gpus, gpuMemory: gpuMemory, gpuTimeout: gpuTimeout,
                threads: values.integer("engine.threads", 0),
                workers: values.integer("engine.workers", 1),
                noiseMultiprocessors: values.integer("engine.noise_multiprocessors", 132),
                noiseThreads: values.integer("engine.noise_threads", 2048)),
            intake: Intake(
                watch: values.choice("intake.watch", .auto), pairWait: values.number("intake.pair_wait", 20),
                quietPeriod: values.number("intake.quiet_period", 2),
                quietPeriodWithoutLease: values.number("intake.quiet_period_without_lease", 10),
                incompleteTimeout: values.number("intake.incomplete_timeout", 300),
                scanInterval: values.number("intake.scan_interval", 300),
                pollInterval: values.number("intake.poll_interval", 2)),
            jobs: Jobs(
                attempts: values.integer("jobs.attempts", 3), jobTimeout: values.number("jobs.job_timeout", 6 * 3600),
                heartbeatTimeout: values.number("jobs.heartbeat_timeout", 30),
                stopTimeout: values.number("jobs.stop_timeout", 60), retention: retention,
                retentionSize: retentionSize,
                minimumFree: values.integer("jobs.minimum_free", 64 << 20),
                snapshots: values.integer("jobs.snapshots", 4 << 30)),
            share: Share(folderStatus: values.boolean("share.folder_status", true)),
            metrics: Metrics(
                port: UInt16(exactly: values.integer("metrics.port", 0)).flatMap { $0 == 0 ? nil : $0 },
                file: optional("metrics.file").map { absolute($0, from: root) }),
            notices: Notices(
                webhook: optional("notices.webhook"), ntfy: optional("notices.ntfy"),
                ntfyTokenFile: optional("notices.ntfy_token_file").map { absolute($0, from: root) },
                events: values.choice("notices.events", .failed), window: values.number("notices.window", 60)),
            log: Log(format: values.choice("log.format", .text), level: values.choice("log.level", .info)))
    }

    /// An absolute path without `.` and `..`.
    static func absolute(_ path: String, from base: String) -> String {
        let joined = path.hasPrefix("/") ? path : base + "/" + path
        var parts: [Substring] = []
        for part in joined.split(separator: "/") where part != "." {
            if part == ".." { _ = parts.popLast() } else { parts.append(part) }
        }
        return "/" + parts.joined(separator: "/")
    }

    /// None of the four folders may be another or lie in it: the service would take its own files for inputs, or show
    /// half-made ones.
    private func folderProblems(source: String, places: [String: Int]) -> [RuleProblem] {
        let all = [
            ("inbox", folders.inbox), ("outbox", folders.outbox), ("rules", folders.rules), ("state", folders.state),
        ]
        var problems: [RuleProblem] = []
        for (index, inner) in all.enumerated() {
            for (other, outer) in all.enumerated() where index != other {
                let same = inner.1 == outer.1
                guard same ? index > other : inner.1.hasPrefix(outer.1 == "/" ? "/" : outer.1 + "/") else { continue }
                problems.append(
                    RuleProblem(
                        source: source, line: places["folders.\(inner.0)"], code: .conflict,
                        message: "folders.\(inner.0): \(inner.1) is \(same ? "also" : "inside") the \(outer.0) folder",
                        hint: "Give inbox, outbox, rules and state four folders side by side."))
            }
        }
        return problems
    }
}
