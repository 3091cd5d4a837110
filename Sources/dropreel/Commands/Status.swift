import ArgumentParser
import Foundation
import WatchFolder

struct Status: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Tell what is queued, running, finished and waiting.")

    @OptionGroup var option: ConfigurationOption

    @Flag(help: "Print the status as JSON.")
    var json = false

    @Flag(help: "Follow with a progress bar until the queue is empty.")
    var follow = false

    @Option(help: "With --follow: go on until this many further jobs have finished.")
    var expect: Int?

    func run() throws {
        let layout = try option.load().layout
        if follow { return try follow(layout) }
        let status = try read(layout)
        if json {
            try Console.printJSON(status)
        } else {
            Console.print(
                status.text(utcOffset: TimeZone.current.secondsFromGMT()).replacing("\r\n", with: "\n"), terminator: "")
        }
    }

    private func read(_ layout: ServiceLayout) throws -> ServiceStatus {
        do {
            return try ServiceStatus.current(layout)
        } catch {
            let known = ServiceError.wrapping(error)
            throw fail(.unavailable, known.message, hint: known.hint)
        }
    }

    private func follow(_ layout: ServiceLayout) throws {
        let start = Date()
        var bar = StatusBar()
        var failed = 0
        var told: Set<JobID> = []
        while true {
            guard let status = try? ServiceStatus.current(layout), status.writtenAt.timeIntervalSinceNow > -15 else {
                if Date().timeIntervalSince(start) > 30 {
                    bar.finish()
                    throw fail(
                        .unavailable, "the service does not run", hint: "start it: dropreel serve --config FILE")
                }
                Thread.sleep(forTimeInterval: 0.25)
                continue
            }
            for job in status.finished.reversed() where job.finishedAt >= start && told.insert(job.id).inserted {
                bar.finish()
                if let error = job.error {
                    failed += 1
                    Console.print("\(job.name): failed. \(error.message) \(error.hint)")
                } else {
                    Console.print(
                        "\(job.name): done, outbox/\(([job.folder, job.output ?? ""]).filter { !$0.isEmpty }.joined(separator: "/"))"
                    )
                }
            }
            bar.show(status)
            let idle = status.running.isEmpty && status.queued.isEmpty
            if idle, expect.map({ told.count >= $0 }) ?? status.waiting.isEmpty { break }
            Thread.sleep(forTimeInterval: 0.25)
        }
        bar.finish()
        if failed > 0 { throw ExitCode.dataError }
    }
}
