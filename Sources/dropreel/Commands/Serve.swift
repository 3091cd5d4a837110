import ArgumentParser
import Foundation
import WatchFolder

struct Serve: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Watch the inbox and make a film of every drop, until stopped.",
        discussion: """
            SIGTERM stops in order: running films may finish within jobs.stop_timeout, the rest goes back to the queue. \
            A restart goes on where it stood. Rule files are read live; SIGHUP reads etc/dropreel.toml again.
            """)

    @OptionGroup var option: ConfigurationOption

    func run() throws {
        let host = try ServiceHost(option)
        let stop = StopSignals(wake: host.service.waker)
        let reload = ReloadSignal(wake: host.service.waker)
        defer { host.finish() }
        let systemd = SystemdNotifier()
        systemd.ready()
        var lastSign = Date.distantPast
        var saidStopping = false
        do {
            try host.service.run(
                stopTimeout: host.configuration.jobs.stopTimeout,
                onTick: {
                    if reload.take() { host.reload() }
                    if stop.isAsked, !saidStopping {
                        systemd.stopping()
                        saidStopping = true
                    }
                    guard let interval = systemd.keepAliveInterval, Date().timeIntervalSince(lastSign) >= interval / 2
                    else { return }
                    systemd.alive()
                    lastSign = Date()
                }, shouldStop: { stop.isAsked })
        } catch {
            let known = ServiceError.wrapping(error)
            throw fail(.inputOutput, known.message, hint: known.hint)
        }
    }
}
