import CPUBackend
import Foundation
import Generation
import Media
import Rules

/// One thing `dropreel doctor` looked at.
struct HostFinding: Encodable {
    enum Verdict: String, Encodable {
        case ok = " ok "
        case note
        case missing = "MISS"
    }

    var verdict: Verdict
    var subject: String
    var text: String
    var hint: String?
}

/// Looks at the host with the eyes of the service.
struct HostExamination {
    let configuration: ServiceConfiguration

    init(_ configuration: ServiceConfiguration) { self.configuration = configuration }

    func findings() -> [HostFinding] {
        [processor, memory] + graphics + [watcher, inotify, decoding] + folders + [sameFileSystem] + models
    }

    private var processor: HostFinding {
        HostFinding(
            verdict: .ok, subject: "processor",
            text: CPUBackend(threads: configuration.engine.threads > 0 ? configuration.engine.threads : nil)
                .deviceDescription)
    }

    private var memory: HostFinding {
        let free = HostMemory.available().map(MemoryEstimate.text) ?? "unknown"
        return HostFinding(verdict: .ok, subject: "memory", text: "\(free) free")
    }

    private var watcher: HostFinding {
        let own = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
        guard FileManager.default.isExecutableFile(atPath: own.appending(path: "dropreel-watcher").path) else {
            return HostFinding(
                verdict: .note, subject: "dropreel-watcher", text: "not beside dropreel; the inbox is polled",
                hint: "install it beside dropreel for quicker reaction")
        }
        return HostFinding(verdict: .ok, subject: "dropreel-watcher", text: "found")
    }

    private var inotify: HostFinding {
        func limit(_ name: String) -> String {
            let text = try? String(contentsOfFile: "/proc/sys/fs/inotify/\(name)", encoding: .utf8)
            return text?.trimmingCharacters(in: .whitespacesAndNewlines) ?? "unknown"
        }
        return HostFinding(
            verdict: .ok, subject: "inotify",
            text: "\(limit("max_user_watches")) watches, queue of \(limit("max_queued_events"))")
    }

    /// What keeps a hostile picture or sound from doing harm here.
    private var decoding: HostFinding {
        let subject = "decoding sandbox"
        do {
            let measures = try IsolatedDecoder().measures()
            let isEnough = measures.isSuperset(of: .essential)
            return HostFinding(
                verdict: isEnough ? .ok : .note, subject: subject, text: measures.text,
                hint: isEnough ? nil : "allow seccomp in the container; until then a hostile file can do more harm")
        } catch {
            return HostFinding(
                verdict: .missing, subject: subject, text: "pictures and sounds cannot be decoded: \(error)",
                hint: "raise the limits on processes and memory")
        }
    }

    private var folders: [HostFinding] {
        let all = [
            ("inbox", configuration.folders.inbox), ("outbox", configuration.folders.outbox),
            ("rules", configuration.folders.rules), ("state", configuration.folders.state),
        ]
        return all.map { name, path in
            var isFolder: ObjCBool = false
            let exists = FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
            let parent = URL(fileURLWithPath: path).deletingLastPathComponent().path
            if exists, isFolder.boolValue, access(path, R_OK | W_OK | X_OK) == 0 {
                return HostFinding(verdict: .ok, subject: name, text: path)
            }
            if !exists, access(parent, W_OK | X_OK) == 0 {
                return HostFinding(verdict: .ok, subject: name, text: "\(path) (will be made)")
            }
            return HostFinding(
                verdict: .missing, subject: name, text: "\(path) cannot be written",
                hint: "create it and give the service's user the right to write")
        }
    }

    private var sameFileSystem: HostFinding {
        func device(_ path: String) -> dev_t? {
            var (status, url) = (stat(), URL(fileURLWithPath: path))
            while stat(url.path, &status) != 0 {
                guard url.path != "/" else { return nil }
                url.deleteLastPathComponent()
            }
            return status.st_dev
        }
        guard device(configuration.folders.state) == device(configuration.folders.outbox) else {
            return HostFinding(
                verdict: .missing, subject: "staging", text: "state and outbox are on different file systems",
                hint: "put folders.state on the file system of the outbox: films are published by rename")
        }
        return HostFinding(verdict: .ok, subject: "staging", text: "state and outbox share a file system")
    }

    private var models: [HostFinding] {
        let library = configuration.library
        var findings = library.problems.map {
            HostFinding(verdict: .missing, subject: "model", text: $0.message, hint: $0.hint)
        }
        let generator = Generator(library: library, backend: CPUBackend(threads: 1))
        let free = HostMemory.available()
        for model in library.models {
            for mode in model.modes {
                do {
                    let least = try ModelInspection.estimate(model, mode, generator).leastBytes
                    let fits = free.map { least <= $0 } ?? true
                    findings.append(
                        HostFinding(
                            verdict: fits ? .ok : .missing, subject: "\(model.name) \(mode.rawValue)",
                            text: "needs \(MemoryEstimate.text(least))\(fits ? "" : ", more than is free")",
                            hint: fits ? nil : "lower the resolution or use quantised weights"))
                } catch {
                    let known = error as? GenerationError
                    findings.append(
                        HostFinding(
                            verdict: .missing, subject: "\(model.name) \(mode.rawValue)",
                            text: known?.message ?? String(describing: error), hint: known?.hint))
                }
            }
        }
        if library.models.isEmpty {
            findings.append(
                HostFinding(
                    verdict: .missing, subject: "models",
                    text: "none in \(configuration.models.directories.joined(separator: ", "))",
                    hint: "put a model folder with its model.json there"))
        }
        return findings
    }
}
