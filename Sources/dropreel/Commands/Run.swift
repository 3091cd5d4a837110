import ArgumentParser
import Foundation
import WatchFolder

struct Run: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Process what lies in the inbox once, then exit.",
        discussion: "Exits with 0 when nothing failed, 65 when an input failed.")

    @OptionGroup var option: ConfigurationOption

    @Flag(help: "Print the summary as JSON.")
    var json = false

    func run() throws {
        let host = try ServiceHost(option)
        defer { host.finish() }
        let stop = StopSignals(wake: host.service.waker)
        var bar = StatusBar()
        let summary: RunSummary
        do {
            summary = try host.service.runOnce(
                stopTimeout: host.configuration.jobs.stopTimeout, onProgress: { bar.show($0) },
                shouldStop: { stop.isAsked })
        } catch {
            let known = ServiceError.wrapping(error)
            throw fail(.inputOutput, known.message, hint: known.hint)
        }
        bar.finish()
        if json {
            try Console.printJSON(summary)
        } else {
            for film in summary.films { Console.print("outbox/\(film)") }
            for error in summary.errors { Console.error("error: \(error.message)\nhint: \(error.hint)") }
            for waiting in summary.waiting { Console.error("waiting: \(waiting.path): \(waiting.reason)") }
            Console.print("\(summary.done) done, \(summary.failed) failed, \(summary.waiting.count) waiting")
        }
        if summary.failed > 0 { throw ExitCode.dataError }
    }
}
