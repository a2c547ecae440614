import java.util.stream.Stream;
import org.apache.beam.fn.harness.ExternalWorkerService;
import org.apache.beam.sdk.options.PipelineOptionsFactory;

/** Runs EmbedSentencesFromJava with workers for its Java steps in this process. */
public class WithWorkers {
  public static void main(String[] args) throws Exception {
    String address =
        new ExternalWorkerService(PipelineOptionsFactory.create()).start().getApiServiceDescriptor().getUrl();
    Stream<String> more =
        Stream.of("--defaultEnvironmentType=EXTERNAL", "--defaultEnvironmentConfig=" + address);
    EmbedSentencesFromJava.main(Stream.concat(Stream.of(args), more).toArray(String[]::new));
    // Threads of the workers would keep it alive.
    System.exit(0);
  }
}
