// What llama-server would reserve, to the byte: no weights are read, nothing is computed.
//
// A line of standard input has arguments of llama-server, separated by tabs; SIMULATED_…=… before
// them are set for it alone. A line of standard output that begins with "@@" has its answer: by
// buffer type [weights, context, compute, whether the host can read it], of the main context and of
// what drafts, or why there is none. Each is a process of its own, so that one may abort.

#include "arg.h"
#include "common.h"
#include "ggml-backend.h"
#include "llama.h"
#include "speculative.h"
#include "../src/llama-ext.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

struct reserved {
    llama_model   * model   = nullptr;
    llama_context * context = nullptr;
};

static void reserve(const char * path, llama_model_params model, const llama_context_params & context, reserved & made, std::ostream & out) {
    model.no_alloc  = true;
    model.load_mode = LLAMA_LOAD_MODE_NONE;
    if (made.model == nullptr) {
        made.model = llama_model_load_from_file(path, model);
    }
    if (made.model != nullptr) {
        made.context = llama_init_from_model(made.model, context);
    }
    if (made.context == nullptr) {
        out << "{\"error\":\"" << (made.model == nullptr ? "model" : "context") << "\"}";
        return;
    }
    const char * between = "{";
    for (const auto & [type, size] : llama_get_memory_breakdown(made.context)) {
        out << between << '"' << ggml_backend_buft_name(type) << "\":[" << size.model << ',' << size.context << ','
            << size.compute << ',' << ggml_backend_buft_is_host(type) << ']';
        between = ",";
    }
    out << '}';
}

// As server.cpp, server-context.cpp:load_model and speculative.cpp prepare both contexts.
static void answer(std::vector<std::string> words, std::ostream & out) {
    std::vector<char *> arguments;
    for (auto & word : words) {
        arguments.push_back(word.data());
    }
    common_params params;
    if (!common_params_parse((int) arguments.size(), arguments.data(), params, LLAMA_EXAMPLE_SERVER)) {
        out << "{\"error\":\"arguments\"}";
        return;
    }
    if (params.embedding) {
        params.n_batch = std::min(params.n_batch, params.n_ubatch);
        params.n_outputs_max = params.n_batch;
    } else {
        const auto limits = common_speculative_get_output_limits(
            params.n_batch, params.n_parallel, common_speculative_n_max(&params.speculative));
        params.n_outputs_max         = std::max(1, limits.total);
        params.n_outputs_max_per_seq = std::max(1, limits.per_seq);
    }
    if (getenv("SIMULATED_EVERY_ROW") != nullptr) {
        params.n_outputs_max = params.n_outputs_max_per_seq = 0;
    }
    reserved main;
    out << "{\"main\":";
    reserve(params.model.path.c_str(), common_model_params_to_llama(params), common_context_params_to_llama(params), main, out);
    const auto & types = params.speculative.types;
    const bool mtp = std::find(types.begin(), types.end(), COMMON_SPECULATIVE_TYPE_DRAFT_MTP) != types.end();
    const bool own = params.speculative.has_dft();
    if (main.context != nullptr && (own || mtp)) {
        common_params of = common_base_params_to_speculative(params);
        llama_context_params context = common_context_params_to_llama(of);
        context.ctx_type  = mtp ? LLAMA_CONTEXT_TYPE_MTP : context.ctx_type;
        context.n_rs_seq  = 0;
        context.n_ctx     = llama_n_ctx(main.context);
        context.ctx_other = main.context;
        reserved draft;
        draft.model = own ? nullptr : main.model;
        out << ",\"draft\":";
        reserve(of.model.path.c_str(), common_model_params_to_llama(of), context, draft, out);
    }
    out << '}';
}

int main() {
    std::string line;
    while (std::getline(std::cin, line)) {
        std::vector<std::string> words{"llama-server"};
        std::stringstream parts(line);
        for (std::string word; std::getline(parts, word, '\t');) {
            words.push_back(word);
        }
        int ends[2];
        if (pipe(ends) != 0) {
            return 1;
        }
        const pid_t child = fork();
        if (child == 0) {
            while (words.size() > 1 && words[1].rfind("SIMULATED_", 0) == 0) {
                const size_t equals = words[1].find('=');
                setenv(words[1].substr(0, equals).c_str(), words[1].substr(equals + 1).c_str(), 1);
                words.erase(words.begin() + 1);
            }
            llama_log_set([](ggml_log_level level, const char * text, void *) {
                if (level >= GGML_LOG_LEVEL_ERROR) {
                    fputs(text, stderr);
                }
            }, nullptr);
            llama_backend_init();
            std::ostringstream out;
            answer(words, out);
            const std::string text = out.str();
            _exit(write(ends[1], text.data(), text.size()) != (ssize_t) text.size());
        }
        close(ends[1]);
        std::string text;
        char buffer[4096];
        for (ssize_t got; (got = read(ends[0], buffer, sizeof buffer)) > 0;) {
            text.append(buffer, got);
        }
        close(ends[0]);
        int status = 0;
        waitpid(child, &status, 0);
        std::cout << "@@" << (text.empty() ? "{\"error\":\"it ended itself\"}" : text) << std::endl;
    }
}
